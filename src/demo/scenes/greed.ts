import type { Stage } from '../stage.js'

/** Bytes that 90 % of the machine come to: where the engine stops by itself, so that only a smaller answer can stop it earlier. */
const SHARE = 0.9

/**
 * The same engine with the same arguments, held or not: 90 % of what it is told there is, and then more, up to 90 % of the
 * whole machine.
 */
export function greedArguments({ machine }: Stage): string[] {
  const limitMib = Math.floor((machine.sizeBytes * SHARE) / 1024 ** 2 / 2) * 2
  return ['--mode', 'greedy', '--chunk', '128m', '--limit', `${limitMib}m`, '--hold', '3', '--json']
}
