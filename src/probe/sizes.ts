import { EXIT_USAGE, ExpectedError } from '../errors.js'
import { formatBytes, parseSize } from '../plan/size.js'
import type { SizeOptions } from './arguments.js'

/** How a program is held. */
export interface HeldSizes {
  readonly budgetBytes: number
  /** False: nobody asked for a budget, and the ledger's is all there is. */
  readonly budgetGiven: boolean
  readonly reserveBytes: number
  /** Size of the simulated machine, where there is one. */
  readonly simBytes: number | undefined
}

/**
 * What the options come to on a machine of `memTotalBytes`. Percentages are of the machine (the simulated one, if there is
 * one) less the reserve.
 *
 * @throws ExpectedError (exit code 2) for what is no size, or can never be had.
 */
export function computeHeldSizes(options: SizeOptions, memTotalBytes: number): HeldSizes {
  const simBytes = options.sim === undefined ? undefined : parseSize(options.sim, { what: '--sim' })
  const machineBytes = simBytes ?? memTotalBytes
  const reserveBytes =
    options.reserve === undefined
      ? 0
      : parseSize(options.reserve, { what: '--reserve', percentOfBytes: machineBytes, allowZero: true })
  if (reserveBytes >= machineBytes) {
    throw usage(
      'RESERVE_TOO_LARGE',
      `--reserve ${formatBytes(reserveBytes)} leaves nothing of a machine of ${formatBytes(machineBytes)}: give less`,
    )
  }
  const budgetBytes =
    options.budget === undefined
      ? machineBytes
      : parseSize(options.budget, { what: '--budget', percentOfBytes: machineBytes - reserveBytes })
  const sizes = { budgetBytes, budgetGiven: options.budget !== undefined, reserveBytes, simBytes }
  if (simBytes !== undefined) refuseWhatCannotBeSimulated(sizes, simBytes, memTotalBytes)
  return sizes
}

function refuseWhatCannotBeSimulated({ budgetBytes, budgetGiven }: HeldSizes, simBytes: number, memTotalBytes: number) {
  if (budgetBytes > simBytes) {
    throw usage(
      'BUDGET_OVER_SIM',
      `--budget ${formatBytes(budgetBytes)} is more than the simulated machine has, ${formatBytes(simBytes)}: give at most that, or a larger --sim`,
    )
  }
  // The simulator takes real pages. A machine larger than this one can be simulated as long as the budget fits in this one.
  if (budgetBytes <= memTotalBytes) return
  throw usage(
    'SIM_TOO_LARGE',
    budgetGiven
      ? `--budget ${formatBytes(budgetBytes)} is more than this machine has, ${formatBytes(memTotalBytes)}, and the simulator takes real memory: give less`
      : `--sim ${formatBytes(simBytes)} is more than this machine has, ${formatBytes(memTotalBytes)}, and the simulator takes real memory: give less, or a --budget that fits`,
  )
}

function usage(code: string, message: string): ExpectedError {
  return new ExpectedError(code, message, { exitCode: EXIT_USAGE })
}
