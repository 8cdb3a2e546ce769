const STEPS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const

/**
 * One line of blocks for a series, newest at the right. A series longer than `width` is drawn in stretches, each as its
 * lowest value: what matters about memory is how little was left.
 *
 * @param most the value of a full block.
 */
export function drawSparkline(values: readonly number[], width: number, most: number): string {
  const columns = Math.min(width, values.length)
  return Array.from({ length: columns }, (_, column) => {
    const from = Math.floor((column * values.length) / columns)
    const to = Math.floor(((column + 1) * values.length) / columns)
    const lowest = Math.min(...values.slice(from, to))
    const step = most > 0 ? Math.floor((lowest / most) * STEPS.length) : 0
    return STEPS[Math.min(STEPS.length - 1, Math.max(0, step))]
  }).join('')
}
