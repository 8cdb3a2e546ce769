import type { Explanation } from '../launch/explain.js'
import { formatBytes } from '../plan/size.js'
import { drawSparkline } from './sparkline.js'
import { formatFields } from './table.js'

const TIMELINE_WIDTH = 60

/** An explanation as lines for people. */
export function explainView(explanation: Explanation): string[] {
  const { sentence, facts, advice, tombstone } = explanation
  const who = [explanation.engine, explanation.name, explanation.id?.slice(0, 12)].filter((part) => part)
  const fields = [...(who.length === 0 ? [] : [['container', who.join(' ')] as const]), ...facts]
  return [
    sentence,
    ...(fields.length === 0 ? [] : ['', ...formatFields(fields, '  ')]),
    ...timeline(tombstone?.samples ?? []),
    ...(advice.length === 0 ? [] : ['', ...advice.map((step) => `→ ${step}`)]),
  ]
}

/** The memory that the host had before the kill, newest at the right. */
function timeline(samples: readonly { readonly ms: number; readonly availableBytes: number }[]): string[] {
  const [first] = samples
  if (first === undefined || samples.length < 2) return []
  const values = samples.map((sample) => sample.availableBytes)
  // From the lowest to the highest: against the whole machine the fall of a gibibyte would be a flat line.
  const least = Math.min(...values)
  const most = Math.max(...values)
  const seconds = (-first.ms / 1000).toFixed(1)
  return [
    '',
    `  MemAvailable over the last ${seconds} s, from ${formatBytes(values[0] ?? 0)} to ${formatBytes(values.at(-1) ?? 0)}`,
    `  ${drawSparkline(
      values.map((value) => value - least),
      TIMELINE_WIDTH,
      most - least,
    )}┤ kill`,
  ]
}
