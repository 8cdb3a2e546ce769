const MIB = 1024 * 1024

/** Engines plan with this share of a budget; the rest is for the CUDA context and the host side of the process. */
const ENGINE_SHARE_PERCENT = 90n
/** The driver's page: a size between two of them is of no use. */
const ENGINE_PAGE_BYTES = 2n * BigInt(MIB)
/** MAX 26.7 rounds its arena up to this (seen): a size between two steps would become the whole of a small budget. */
const ENGINE_ARENA_BYTES = 256n * BigInt(MIB)

/** The numbers and names that are known only per container: docs/formats.md section 3. */
export interface PlaceholderValues {
  readonly budget_bytes: number
  readonly budget_mib: number
  readonly engine_bytes: number
  /** Host path of the container's ledger. */
  readonly ledger: string
  readonly id: string
}

/** How a plan writes a value that is known only per container: `${name}`. */
export function placeholder(name: keyof PlaceholderValues): string {
  return `\${${name}}`
}

/** What an engine should plan with: 90 % of the budget, rounded down to 256 MiB, or to 2 MiB where it is less than that. */
export function engineBytesOf(budgetBytes: number): number {
  const share = (BigInt(budgetBytes) * ENGINE_SHARE_PERCENT) / 100n
  return Number(share - (share % (share >= ENGINE_ARENA_BYTES ? ENGINE_ARENA_BYTES : ENGINE_PAGE_BYTES)))
}

/** The values for one container, from what admission granted it. */
export function placeholderValues(grant: {
  readonly budgetBytes: number
  readonly engineBytes: number
  readonly ledger: string
  readonly id: string
}): PlaceholderValues {
  return {
    budget_bytes: grant.budgetBytes,
    budget_mib: Math.floor(grant.budgetBytes / MIB),
    engine_bytes: grant.engineBytes,
    ledger: grant.ledger,
    id: grant.id,
  }
}

/**
 * Replaces every `${name}` in `text`.
 *
 * @throws RangeError for a placeholder that does not exist: the plan is from another world, and a guess could unguard.
 */
export function expandPlaceholders(text: string, values: PlaceholderValues): string {
  return text.replace(/\$\{([^}]*)\}/g, (whole, name: string) => {
    if (!Object.hasOwn(values, name)) throw new RangeError(`the plan uses the unknown placeholder ${whole}`)
    return String(values[name as keyof PlaceholderValues])
  })
}
