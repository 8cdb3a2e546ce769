import { formatBytes } from '../../plan/size.js'
import { parseEngineTalk } from '../engine-talk.js'
import { judgeHeld, type Scene, sayCommand, waitForExit } from '../play.js'

/** Modular MAX itself, unmodified, from its wheels. */
export const maxScene: Scene = {
  name: 'max',
  title: 'MAX: the real engine, unmodified, under spark-run',
  lookAt: () => [
    'Look at the first bar: MAX sizes its arena from the budget and fills it with buffers.',
    'The second bar is MAX itself, its Python and its libraries: they count against the same budget.',
  ],
  actors: ['max'],

  async act(stage) {
    const { budgetBytes } = stage.machine
    const role = { actor: 'max', name: 'demo-max', args: ['--hold', '2', '--json'] } as const
    const performance = await stage.startHeld(role, budgetBytes)
    sayCommand(stage, performance)
    const exitCode = await waitForExit(stage, performance)
    const { saw, heldBytes, refusals } = parseEngineTalk(performance.output())
    return {
      exitCode,
      engineSaw: saw,
      killedBy: null,
      bystanderAlive: null,
      refusals,
      story: [
        `MAX was told of ${formatBytes(saw?.totalBytes ?? 0)} and held ${formatBytes(heldBytes)} in buffers.`,
        ...(refusals > 0 ? ['The next buffer was refused without harm, and MAX ended by itself.'] : []),
      ],
    }
  },

  judge: judgeHeld,
}
