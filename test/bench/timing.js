// Timing of whole processes, side by side. Both sides run in turn (A B A B …), so that a machine that slows down slows both.
import { spawnSync } from 'node:child_process'

/** Milliseconds that one run of a command took; throws with its output when it fails. */
function runOnce([program, ...args], options = {}) {
  const begin = process.hrtime.bigint()
  const result = spawnSync(program, args, { encoding: 'utf8', ...options })
  const ms = Number(process.hrtime.bigint() - begin) / 1e6
  if (result.error) throw result.error
  if (result.status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${result.status}: ${result.stderr}`)
  return ms
}

/** Middle value; for an even count the mean of the two in the middle. */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2
}

/**
 * Runs the sides in turn after one warm-up of each.
 *
 * @param sides name → command line, run in this order in every round
 * @returns name → {runs: ms[]}, one entry a round
 */
export function sideBySide(sides, rounds, options = {}) {
  const names = Object.keys(sides)
  const runs = Object.fromEntries(names.map((name) => [name, []]))
  for (const name of names) runOnce(sides[name], options)
  for (let round = 0; round < rounds; round++) {
    for (const name of names) runs[name].push(runOnce(sides[name], options))
  }
  return Object.fromEntries(names.map((name) => [name, { runs: runs[name] }]))
}

/** Median of the ratios a/b of runs of the same round: what drifts in both sides cancels out. */
export function pairedRatio(a, b) {
  return median(a.runs.map((ms, round) => ms / b.runs[round]))
}

/** Median of the differences a − b of runs of the same round, in milliseconds. */
export function pairedDifferenceMs(a, b) {
  return median(a.runs.map((ms, round) => ms - b.runs[round]))
}

/** Median of one side, in milliseconds. */
export function medianMs(side) {
  return median(side.runs)
}
