import { formatBytes } from '../../plan/size.js'
import { type Ending, tellEnd } from '../ending.js'
import { type EngineTalk, parseEngineTalk } from '../engine-talk.js'
import { type Scene, sayCommand, waitForExit, waitForTalk } from '../play.js'
import { greedArguments } from './greed.js'

/** What every engine does today: it asks how much GPU memory there is, and takes 90 % of the machine. */
export const unprotectedScene: Scene = {
  name: 'unprotected',
  title: 'Unprotected: an engine takes 90 % of the GPU, and the GPU is the machine',
  lookAt: ({ cgroupName }) => [
    `Look at the first bar, memory taken by the GPU driver, and at the second (${cgroupName}), all that limits and tools see of it.`,
    'Then look at what is left to the machine: the reserve, without which it hangs, is at the mark.',
  ],
  actors: ['greedy'],

  async act(stage, nameOf) {
    const role = { actor: 'greedy', name: nameOf('demo-unprotected'), args: greedArguments(stage) } as const
    const performance = await stage.startUnprotected(role)
    sayCommand(stage, performance)
    await waitForTalk(stage, performance, (talk) => talk.heldBytes > stage.machine.sizeBytes * 0.8)
    const statsBytes = await stage.readStatsBytes(role.name)
    const exitCode = await waitForExit(stage, performance)
    const { saw, heldBytes } = parseEngineTalk(performance.output())
    return {
      exitCode,
      engineSaw: saw,
      // No guard runs yet.
      killedBy: null,
      bystanderAlive: null,
      statsBytes: statsBytes ?? null,
      tell: ({ minAvailableBytes }) =>
        tellUnprotected({
          ...{ saw, heldBytes, statsBytes, exitCode, killed: undefined, minAvailableBytes },
          reserveBytes: stage.machine.reserveBytes,
        }),
    }
  },

  judge({ exitCode, peakDriverBytes, minAvailableBytes, statsBytes }, { machine }) {
    const complaints: string[] = []
    if (exitCode !== 0) complaints.push(`the engine ended with exit code ${exitCode}, and nobody was there to stop it`)
    if ((peakDriverBytes ?? 0) < machine.sizeBytes * 0.85) {
      complaints.push(`the engine took only ${formatBytes(peakDriverBytes ?? 0)} of ${formatBytes(machine.sizeBytes)}`)
    }
    if ((minAvailableBytes ?? 0) >= machine.reserveBytes) complaints.push('the reserve was never touched')
    if ((statsBytes ?? 0) > machine.sizeBytes * 0.1) {
      complaints.push(`docker stats did see the driver's memory (${formatBytes(statsBytes ?? 0)})`)
    }
    return complaints
  },
}

/** What became of the machine that nobody protects. */
export function tellUnprotected(
  end: Pick<EngineTalk, 'saw' | 'heldBytes'> &
    Ending & { statsBytes: number | undefined; minAvailableBytes: number; reserveBytes: number },
): string[] {
  const { saw, heldBytes, statsBytes, exitCode, minAvailableBytes, reserveBytes } = end
  return [
    ...(saw === null
      ? []
      : [`The engine was told of ${formatBytes(saw.totalBytes)} and took ${formatBytes(heldBytes)}.`]),
    ...(statsBytes === undefined
      ? []
      : [`Meanwhile docker stats said ${formatBytes(statsBytes)}: no memory limit can see what the driver takes.`]),
    ...(exitCode === 0 ? [] : [tellEnd('It', end)]),
    minAvailableBytes < reserveBytes
      ? 'The reserve is gone. On the real machine this is where it hangs, until somebody comes to its power button.'
      : `The reserve was not touched: ${formatBytes(minAvailableBytes)} were always available.`,
  ]
}
