import { EXIT_REFUSED, ExpectedError } from '../errors.js'
import { formatBytes } from './size.js'

const UNITS = ['', 'k', 'm', 'g', 't', 'p']

/** What a person gave with `-m`/`--memory` and `--memory-swap`, as given. */
export interface UserMemory {
  readonly memory?: string | undefined
  readonly memorySwap?: string | undefined
}

/**
 * Refuses a limit that would undo the budget. Where flags carry the plan, the engine takes the person's value, which
 * stands last; a value that the engine cannot read either is for it to refuse.
 *
 * @throws ExpectedError `MEMORY_OVER_BUDGET`, exit code 125.
 */
export function refuseOverBudget({ memory }: UserMemory, budgetBytes: number): void {
  const bytes = memory === undefined ? undefined : readMemoryFlag(memory)
  if (bytes === undefined || (bytes > 0 && bytes <= budgetBytes)) return
  const budget = `the budget of ${formatBytes(budgetBytes)}`
  const sentence =
    bytes === 0
      ? `-m ${memory} sets no limit at all, which ${budget} does not allow: leave it out`
      : `-m ${memory} is more than ${budget}: lower it or leave it out`
  throw new ExpectedError('MEMORY_OVER_BUDGET', sentence, { exitCode: EXIT_REFUSED })
}

/** As github.com/docker/go-units RAMInBytes reads it: any number, then one letter, `b` and `i` ignored. Rounded down. */
function readMemoryFlag(text: string): number | undefined {
  const [, number = '', unit = ''] = /^(.*[\d. ])([kmgtp]?)i?b?$/i.exec(text) ?? []
  const value = number.trim() === '' ? Number.NaN : Number(number.trim())
  return value >= 0 ? Math.floor(value * 1024 ** UNITS.indexOf(unit.toLowerCase())) : undefined
}
