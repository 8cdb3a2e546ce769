import { EXIT_USAGE, ExpectedError } from '../errors.js'
import { defaultReserveBytes } from '../plan/compile.js'
import { formatBytes } from '../plan/size.js'

/** A machine that the demo plays on: part of this one, the rest withheld. */
export interface SmallMachine {
  /** Memory that is there for the taking when the demo begins. */
  sizeBytes: number
  /** What spark-run leaves out of account of the real machine. */
  withholdBytes: number
  reserveBytes: number
  /** The budget of the engines that are held. */
  budgetBytes: number
}

const MIB = 1024 ** 2
const GIB = 1024 ** 3

/** Large enough to be seen in a bar, small enough to be nobody's loss. */
const LARGEST_BYTES = 4 * GIB

/** Below this MAX does not fit beside a reserve. */
const SMALLEST_BYTES = 1 * GIB

/** The part of MemAvailable that the demo may put at stake. */
const SHARE_OF_AVAILABLE = 1 / 4

/** What the default policy gives a container at least (`budget.min`). */
const LEAST_BUDGET_BYTES = 256 * MIB

const floorTo = (bytes: number, step: number) => Math.floor(bytes / step) * step

/** The two budgets of the scene guard, which fit beside the reserve together: the bystander's is the smaller one. */
export function computeGuardBudgets({ sizeBytes, budgetBytes }: SmallMachine): {
  bystanderBytes: number
  culpritBytes: number
} {
  const atLeast = (bytes: number) => Math.max(LEAST_BUDGET_BYTES, floorTo(bytes, 2 * MIB))
  return { bystanderBytes: atLeast(sizeBytes / 8), culpritBytes: atLeast(budgetBytes / 2) }
}

/** What an engine without manners may take: more than there is, though other programs give memory back meanwhile. */
export const computeBypassLimit = ({ sizeBytes }: SmallMachine) => floorTo(sizeBytes * 1.5, 2 * MIB)

/**
 * The machine to rehearse: at most 4 GiB and a quarter of what is available, with the reserve of the default policy.
 *
 * @throws ExpectedError when `wantedBytes` is out of these bounds, or this machine has too little memory free.
 */
export function computeSmallMachine(availableBytes: number, wantedBytes?: number): SmallMachine {
  const largest = floorTo(Math.min(LARGEST_BYTES, availableBytes * SHARE_OF_AVAILABLE), 64 * MIB)
  if (largest < SMALLEST_BYTES) {
    throw new ExpectedError(
      'MEMORY_TOO_LOW',
      `the demo puts at most a quarter of the free memory at stake and needs ${formatBytes(SMALLEST_BYTES)}, but only ${formatBytes(availableBytes)} are available here`,
      { hint: 'Close something large, or run it on a machine with more memory.' },
    )
  }
  if (wantedBytes !== undefined && (wantedBytes < SMALLEST_BYTES || wantedBytes > largest)) {
    throw new ExpectedError(
      'MACHINE_SIZE',
      `--machine ${formatBytes(wantedBytes)} is out of bounds: here it is from ${formatBytes(SMALLEST_BYTES)} to ${formatBytes(largest)}, a quarter of what is available and at most ${formatBytes(LARGEST_BYTES)}`,
      { exitCode: EXIT_USAGE },
    )
  }
  const sizeBytes = floorTo(wantedBytes ?? largest, 2 * MIB)
  return {
    sizeBytes,
    withholdBytes: availableBytes - sizeBytes,
    reserveBytes: defaultReserveBytes(sizeBytes),
    budgetBytes: floorTo(sizeBytes * 0.375, 2 * MIB),
  }
}
