import { EXIT_USAGE, ExpectedError } from '../errors.js'

const KIB = 1024
const UNIT_BYTES: Readonly<Record<string, number>> = { b: 1, k: KIB, m: KIB ** 2, g: KIB ** 3, t: KIB ** 4 }
const PRINTED_UNITS = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** Digits are bounded so that the same sum is exact in 128-bit integers in C: docs/formats.md section 1. */
const SIZE_PATTERN = /^([0-9]{1,16})(?:\.([0-9]{1,9}))?(?: ?(b|[kmgt](?:b|i|ib)?|%))?$/i

const EXAMPLES = '40g, 512m or plain bytes'
const EXAMPLES_WITH_PERCENT = '40g, 512m, plain bytes or 30%'

export interface ParseSizeOptions {
  /** What the size belongs to, for the error sentence: `--budget`, `budget.max in /etc/spark-run/config.json`. */
  readonly what?: string
  /** Bytes that a number without a unit stands for; default 1. */
  readonly unitBytes?: number
  /** What 100 % is, in bytes; without it a percentage is an error. */
  readonly percentOfBytes?: number
  /** Accept zero, which means "none" in a few places of the policy. */
  readonly allowZero?: boolean
}

/**
 * Reads a size as people write it (docs/formats.md section 1): `40g`, `1.5GiB`, `512m`, `1048576`, `30%`. All units are
 * binary, as in Docker. The result is exact and rounded down to whole bytes.
 *
 * @throws ExpectedError `SIZE_SYNTAX`: one sentence with what was given and what is allowed.
 */
export function parseSize(text: string, options: ParseSizeOptions = {}): number {
  const percentAllowed = options.percentOfBytes !== undefined
  const fail = (problem: string): never => {
    const subject = [options.what, quoteIfNeeded(text)].filter((part) => part !== undefined).join(' ')
    throw new ExpectedError('SIZE_SYNTAX', `${subject} ${problem}`, { exitCode: EXIT_USAGE })
  }
  const allowed = percentAllowed ? EXAMPLES_WITH_PERCENT : EXAMPLES

  const match = SIZE_PATTERN.exec(text)
  if (match === null) return fail(`is not a size: write ${allowed}`)
  const [, whole = '', fraction = '', unit = ''] = match

  let numerator = BigInt(whole + fraction)
  let denominator = 10n ** BigInt(fraction.length)
  if (unit === '%') {
    if (options.percentOfBytes === undefined)
      return fail(`is a percentage, which is not allowed here: write ${allowed}`)
    const isZero = numerator === 0n && options.allowZero !== true
    if (isZero || numerator > 100n * denominator) return fail('is not a share: a percentage is above 0 and at most 100')
    numerator *= BigInt(options.percentOfBytes)
    denominator *= 100n
  } else {
    const unitBytes = unit === '' ? (options.unitBytes ?? 1) : (UNIT_BYTES[unit.charAt(0).toLowerCase()] ?? 1)
    numerator *= BigInt(unitBytes)
  }

  const bytes = numerator / denominator
  if (bytes > BigInt(Number.MAX_SAFE_INTEGER)) return fail('is too large: the most is 8191t')
  if (bytes < 1n && options.allowZero !== true) return fail('is too small: a size is at least 1 byte')
  return Number(bytes)
}

/** Prints bytes for people, binary units and one decimal: `40.0 GiB`; below 1 KiB `512 B`. */
export function formatBytes(bytes: number): string {
  if (bytes < 0) return `-${formatBytes(-bytes)}`
  if (bytes < KIB) return `${Math.round(bytes)} B`
  let value = bytes
  let printed = ''
  for (const unit of PRINTED_UNITS) {
    value /= KIB
    printed = `${value.toFixed(1)} ${unit}`
    // Compared after rounding, so that 1 byte less than 1 GiB is printed as 1.0 GiB and not as 1024.0 MiB.
    if (Number(value.toFixed(1)) < KIB) break
  }
  return printed
}

/** Shows `text` as given; quoted where it is empty or holds what could be misread in a sentence. */
function quoteIfNeeded(text: string): string {
  return /^[\x21-\x7e]+$/.test(text) ? text : JSON.stringify(text)
}
