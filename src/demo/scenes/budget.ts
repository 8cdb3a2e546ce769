import { formatBytes } from '../../plan/size.js'
import { type Ending, tellEnd } from '../ending.js'
import { type EngineTalk, parseEngineTalk } from '../engine-talk.js'
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

  async act(stage, nameOf) {
    const { budgetBytes } = stage.machine
    const role = { actor: 'greedy', name: nameOf('demo-budget'), args: greedArguments(stage) } as const
    const performance = await stage.startHeld(role, budgetBytes)
    sayCommand(stage, performance)
    const exitCode = await waitForExit(stage, performance)
    const kill = await stage.findKill(role.name)
    const { saw, heldBytes, refusals, refusedWith } = parseEngineTalk(performance.output())
    return {
      exitCode,
      engineSaw: saw,
      killedBy: kill === undefined ? null : 'spark-guard',
      bystanderAlive: null,
      refusals,
      tell: () => tellBudget({ saw, heldBytes, refusals, refusedWith, exitCode, killed: kill?.sentence }),
    }
  },

  judge(result, stage) {
    return [
      ...judgeHeld(result, stage),
      ...(result.refusals === 0 ? ['nothing was refused, although the engine asks for more than its budget'] : []),
    ]
  },
}

/** What became of the engine that was held. */
export function tellBudget(end: Pick<EngineTalk, 'saw' | 'heldBytes' | 'refusals' | 'refusedWith'> & Ending): string[] {
  const { saw, heldBytes, refusals, refusedWith } = end
  return [
    ...(saw === null
      ? []
      : [`The engine was told of ${formatBytes(saw.totalBytes)} and took ${formatBytes(heldBytes)}.`]),
    ...(refusals === 0
      ? ['It was refused nothing.']
      : [
          `It asked for more ${refusals === 1 ? 'once' : `${refusals} times`} and was told ${refusedWith ?? 'that there is no more'}.`,
        ]),
    tellEnd('It', end),
  ]
}
