import { formatBytes } from '../plan/size.js'
import type { Layer, ProbeReport } from '../probe/layers.js'
import { formatTable } from './table.js'

/** The seven layers as lines for people. */
export function probeView(report: ProbeReport): string[] {
  return [
    introduction(report),
    '',
    ...formatTable(
      [
        { heading: '' },
        { heading: 'layer' },
        { heading: 'seen' },
        { heading: 'called' },
        { heading: 'refused', align: 'right' },
      ],
      report.layers.map((layer) => [
        String(layer.number),
        layer.name,
        layer.seen,
        calledWords(layer.calls),
        layer.refused === 0 ? '-' : String(layer.refused),
      ]),
    ),
    ...allocationTable(report),
    '',
    report.verdict,
  ]
}

function introduction({ budgetBytes, budgetGiven, simBytes, libraries }: ProbeReport): string {
  const machine = simBytes === null ? 'this machine' : `a simulated machine of ${formatBytes(simBytes)}`
  const budget = budgetGiven
    ? `a budget of ${formatBytes(budgetBytes)}`
    : `no budget: the machine's ${formatBytes(budgetBytes)} stand for it, so that only what the machine has not is refused`
  const opened = libraries.length === 0 ? 'no driver library opened' : `opened ${libraries.join(', ')}`
  return `On ${machine}, with ${budget}; ${opened}.`
}

function calledWords(calls: Layer['calls']): string {
  return calls.length === 0 ? '-' : calls.map(({ call, times }) => `${call} ×${times}`).join(', ')
}

function allocationTable({ allocations }: ProbeReport): string[] {
  if (allocations.length === 0) return []
  return [
    '',
    ...formatTable(
      [
        { heading: 'took by' },
        { heading: 'times', align: 'right' },
        { heading: 'sum', align: 'right' },
        { heading: 'largest', align: 'right' },
        { heading: 'refused', align: 'right' },
        { heading: 'sum refused', align: 'right' },
      ],
      allocations.map((each) => [
        each.call,
        String(each.granted),
        formatBytes(each.grantedBytes),
        formatBytes(each.largestBytes),
        each.refused === 0 ? '-' : String(each.refused),
        each.refused === 0 ? '-' : formatBytes(each.refusedBytes),
      ]),
    ),
  ]
}
