import { formatBytes } from '../../plan/size.js'
import { type Ending, tellEnd } from '../ending.js'
import { parseEngineTalk } from '../engine-talk.js'
import { computeBypassLimit, computeGuardBudgets } from '../machine.js'
import { type Scene, sayCommand, waitForExit, waitForTalk } from '../play.js'

const MIB = 1024 ** 2

/** A guard that does not see who holds what acts when the reserve is touched, not before: the kill takes this share of it. */
const TOUCHED_SHARE = 1 / 16

/** An engine that no library can hold, beside one that does no harm. */
export const guardScene: Scene = {
  name: 'guard',
  title: 'Guard: an engine that goes past every library, and a bystander',
  lookAt: () => [
    'Look at the mark in the third bar, the reserve: MemAvailable comes down to it and must not go below.',
    'The guard kills the engine that is over its budget; the bystander beside it goes on.',
  ],
  actors: ['greedy'],

  async act(stage, nameOf) {
    const { machine } = stage
    const { bystanderBytes, culpritBytes } = computeGuardBudgets(machine)
    const bystanderRole = {
      actor: 'greedy',
      name: nameOf('demo-bystander'),
      args: ['--mode', 'polite', '--percent', '50', '--chunk', '64m', '--hold', '600', '--json'],
    } as const
    const bystander = await stage.startHeld(bystanderRole, bystanderBytes)
    try {
      sayCommand(stage, bystander)
      await waitForTalk(stage, bystander, (talk) => talk.heldBytes > 0)

      const limit = ['--limit', `${computeBypassLimit(machine) / MIB}m`]
      const role = {
        actor: 'greedy',
        name: nameOf('demo-bypass'),
        args: ['--mode', 'bypass', '--chunk', '8m', ...limit, '--hold', '30', '--json'],
        bypass: true,
        keep: true,
      } as const
      const culprit = await stage.startHeld(role, culpritBytes)
      sayCommand(stage, culprit)
      const exitCode = await waitForExit(stage, culprit)
      const kill = await stage.findKill(role.name)
      const bystanderAlive = (await stage.isAlive(bystanderRole.name)) && !bystander.hasExited()
      const bystanderKill = bystanderAlive ? undefined : await stage.findKill(bystanderRole.name)
      const { saw, heldBytes } = parseEngineTalk(culprit.output())
      const sentenceInLog = kill?.log.includes(kill.sentence) ?? false
      return {
        exitCode,
        engineSaw: saw,
        killedBy: kill === undefined ? null : 'spark-guard',
        bystanderAlive,
        sentence: kill?.sentence ?? null,
        sentenceInLog,
        tell: () =>
          tellGuard({
            ...{
              name: role.name,
              budgetBytes: culpritBytes,
              heldBytes,
              exitCode,
              killed: kill?.sentence,
              sentenceInLog,
            },
            ...{ explanation: kill?.explanation ?? '', guardSeesUse: stage.guardSeesUse },
            ...{ bystanderAlive, bystanderKilled: bystanderKill?.sentence },
          }),
      }
    } finally {
      await bystander.end()
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

/** What became of the two engines. */
export function tellGuard(
  end: Ending & {
    name: string
    budgetBytes: number
    heldBytes: number
    sentenceInLog: boolean
    explanation: string
    guardSeesUse: boolean
    bystanderAlive: boolean
    bystanderKilled: string | undefined
  },
): string[] {
  const { name, budgetBytes, heldBytes, killed, sentenceInLog, explanation, guardSeesUse } = end
  const budget = `The engine had a budget of ${formatBytes(budgetBytes)} and had taken ${formatBytes(heldBytes)}`
  return [
    ...(killed === undefined
      ? [`${budget}; the guard has no record of a kill.`, tellEnd('It', end)]
      : [`${budget} when it was killed.`]),
    ...(sentenceInLog ? ['Its own log, where its owner looks first, has the same sentence.'] : []),
    ...(explanation === ''
      ? []
      : [`spark-run explain ${name} says:`, ...explanation.split('\n').map((line) => `  ${line}`.trimEnd())]),
    ...(killed === undefined || guardSeesUse
      ? []
      : [
          'Shared memory belongs to nobody in particular, so the guard acted when the reserve was touched, not before.',
        ]),
    end.bystanderAlive
      ? 'The bystander still runs and holds its memory.'
      : `The bystander is dead${end.bystanderKilled === undefined ? '' : `: ${end.bystanderKilled}`}.`,
  ]
}
