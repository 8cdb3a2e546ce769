import { formatBytes } from '../../plan/size.js'
import { parseEngineTalk } from '../engine-talk.js'
import { judgeHeld, type Scene, sayCommand, waitForExit } from '../play.js'
import { greedArguments } from './greed.js'

/** The same engine under a budget: it is told less, takes less, and is refused in its own language when it wants more. */
export const budgetScene: Scene = {
  name: 'budget',
  title: 'Budget: the same engine, the same arguments, under spark-run',
  lookAt: () => [
    'Look at the first bar: it stops inside the budget. The engine is told the budget before it asks,',
    'and gets a clean CUDA out-of-memory error for what goes beyond. Nothing is killed.',
  ],
  actors: ['greedy'],

  async act(stage) {
    const { budgetBytes } = stage.machine
    const role = { actor: 'greedy', name: 'demo-budget', args: greedArguments(stage) } as const
    const performance = await stage.startHeld(role, budgetBytes)
    sayCommand(stage, performance)
    const exitCode = await waitForExit(stage, performance)
    const { saw, heldBytes, refusals, refusedWith } = parseEngineTalk(performance.output())
    return {
      exitCode,
      engineSaw: saw,
      killedBy: null,
      bystanderAlive: null,
      refusals,
      story: [
        `The engine was told of ${formatBytes(saw?.totalBytes ?? 0)} and took ${formatBytes(heldBytes)}.`,
        `It asked for more ${refusals} times and was told ${refusedWith ?? 'no such thing'}; it went on with what it had and ended by itself.`,
      ],
    }
  },

  judge(result, stage) {
    return [
      ...judgeHeld(result, stage),
      ...(result.refusals === 0 ? ['nothing was refused, although the engine asks for more than its budget'] : []),
    ]
  },
}
