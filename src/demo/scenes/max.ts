import { formatBytes } from '../../plan/size.js'
import { type Ending, tellEnd } from '../ending.js'
import { type EngineTalk, parseEngineTalk } from '../engine-talk.js'
import { judgeHeld, type Scene, sayCommand, waitForExit } from '../play.js'

/** Modular MAX itself, unmodified, from its wheels. */
export const maxScene: Scene = {
  name: 'max',
  title: 'MAX: the real engine, unmodified, under spark-run',
  lookAt: ({ cgroupName }) => [
    'Look at the first bar: MAX sizes its arena from the budget and fills it with buffers.',
    `The second (${cgroupName}) is MAX itself, its Python and its libraries, as far as they are charged to it.`,
  ],
  actors: ['max'],

  async act(stage, nameOf) {
    const { budgetBytes } = stage.machine
    const role = { actor: 'max', name: nameOf('demo-max'), args: ['--hold', '2', '--json'] } as const
    const performance = await stage.startHeld(role, budgetBytes)
    sayCommand(stage, performance)
    const exitCode = await waitForExit(stage, performance)
    const kill = await stage.findKill(role.name)
    const { saw, heldBytes, refusals } = parseEngineTalk(performance.output())
    return {
      exitCode,
      engineSaw: saw,
      killedBy: kill === undefined ? null : 'spark-guard',
      bystanderAlive: null,
      refusals,
      tell: () => tellMax({ saw, heldBytes, refusals, exitCode, killed: kill?.sentence }),
    }
  },

  judge: judgeHeld,
}

/** What became of MAX. */
export function tellMax(end: Pick<EngineTalk, 'saw' | 'heldBytes' | 'refusals'> & Ending): string[] {
  const { saw, heldBytes, refusals } = end
  return [
    ...(saw === null
      ? []
      : [`MAX was told of ${formatBytes(saw.totalBytes)} and held ${formatBytes(heldBytes)} in buffers.`]),
    ...(refusals === 0 ? [] : ['The next buffer was refused.']),
    tellEnd('MAX', end),
  ]
}
