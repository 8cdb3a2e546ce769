import { formatBytes } from '../../plan/size.js'
import { parseEngineTalk } from '../engine-talk.js'
import { type Scene, sayCommand, waitForExit, waitForTalk } from '../play.js'

const MIB = 1024 ** 2

/** A guard that does not see who holds what acts when the reserve is touched, not before: the kill takes this share of it. */
const TOUCHED_SHARE = 1 / 16

/** The bystander's budget, of which it holds half: enough to be worth killing for a guard that chooses badly. */
const BYSTANDER_SHARE = 1 / 8

/** An engine that no library can hold, beside one that does no harm. */
export const guardScene: Scene = {
  name: 'guard',
  title: 'Guard: an engine that goes past every library, and a bystander',
  lookAt: () => [
    'Look at the mark in the third bar, the reserve: MemAvailable comes down to it and must not go below.',
    'The guard kills the engine that is over its budget; the bystander beside it goes on.',
  ],
  actors: ['greedy'],

  async act(stage) {
    const { machine } = stage
    const budgetMib = Math.max(256, Math.floor((machine.sizeBytes * BYSTANDER_SHARE) / MIB / 2) * 2)
    const bystander = await stage.startHeld(
      {
        actor: 'greedy',
        name: 'demo-bystander',
        args: ['--mode', 'polite', '--percent', '50', '--chunk', '64m', '--hold', '600', '--json'],
      },
      budgetMib * MIB,
    )
    sayCommand(stage, bystander)
    await waitForTalk(stage, bystander, (talk) => talk.heldBytes > 0)

    const role = {
      actor: 'greedy',
      name: 'demo-bypass',
      args: [
        '--mode',
        'bypass',
        '--chunk',
        '8m',
        '--limit',
        `${Math.floor(machine.sizeBytes / MIB)}m`,
        '--hold',
        '30',
        '--json',
      ],
      bypass: true,
      keep: true,
    } as const
    const culprit = await stage.startHeld(role, machine.budgetBytes / 2)
    sayCommand(stage, culprit)
    const exitCode = await waitForExit(stage, culprit)
    const kill = await stage.findKill(role.name)
    const bystanderAlive = (await stage.isAlive('demo-bystander')) && !bystander.hasExited()
    await bystander.end()

    const { saw, heldBytes } = parseEngineTalk(culprit.output())
    return {
      exitCode,
      engineSaw: saw,
      killedBy: kill === undefined ? null : 'spark-guard',
      bystanderAlive,
      sentence: kill?.sentence ?? null,
      sentenceInLog: kill?.log.includes(kill.sentence) ?? false,
      story: [
        `The engine had a budget of ${formatBytes(machine.budgetBytes / 2)} and had taken ${formatBytes(heldBytes)} when it was killed.`,
        ...(kill === undefined ? [] : ['Its own log, where its owner looks first, has the same sentence.']),
        ...(kill === undefined || kill.explanation === ''
          ? []
          : [
              'spark-run explain demo-bypass says:',
              ...kill.explanation.split('\n').map((line) => `  ${line}`.trimEnd()),
            ]),
        ...(stage.guardSeesUse
          ? []
          : [
              'Shared memory belongs to nobody in particular, so the guard acted when the reserve was touched, not before.',
            ]),
        `The bystander ${bystanderAlive ? 'still runs and holds its memory' : 'is dead'}.`,
      ],
    }
  },

  judge({ exitCode, killedBy, bystanderAlive, minAvailableBytes, sentenceInLog }, { machine, guardSeesUse }) {
    const complaints: string[] = []
    if (killedBy === null) complaints.push('the guard has no record of a kill')
    else if (!sentenceInLog) complaints.push("the guard's sentence is not in the log of the engine it killed")
    if (exitCode !== 137) complaints.push(`the engine's exit code is ${exitCode} and not 137`)
    if (bystanderAlive !== true) complaints.push('the bystander did not survive')
    const keptBytes = machine.reserveBytes * (guardSeesUse ? 1 : 1 - TOUCHED_SHARE)
    if ((minAvailableBytes ?? 0) < keptBytes) {
      complaints.push(
        `MemAvailable was down to ${formatBytes(minAvailableBytes ?? 0)}, under the reserve of ${formatBytes(machine.reserveBytes)}`,
      )
    }
    return complaints
  },
}
