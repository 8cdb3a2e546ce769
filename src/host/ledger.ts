import { closeSync, constants, openSync, readSync } from 'node:fs'

const MAGIC = 'SPRKLDG1'
const VERSION = 1
const HEADER_BYTES = 72

/** What the processes of one container say they hold of the driver's memory: docs/formats.md section 7. */
export interface LedgerHeader {
  readonly budgetBytes: number
  readonly reserveBytes: number
  readonly withholdBytes: number
  readonly usedBytes: number
  readonly peakBytes: number
  /** Allocations that were over the budget and got an out-of-memory error. */
  readonly refusedCount: number
}

/**
 * Reads the header of a ledger. The container can write the file, so it is a hint: whatever does not look like a ledger
 * (another magic or version, numbers beyond 2^53, a link) is undefined.
 */
export function readLedgerHeader(file: string): LedgerHeader | undefined {
  const header = Buffer.alloc(HEADER_BYTES)
  let fd: number | undefined
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    if (readSync(fd, header, 0, HEADER_BYTES, 0) !== HEADER_BYTES) return undefined
  } catch {
    return undefined
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
  if (header.toString('latin1', 0, 8) !== MAGIC || header.readUInt32LE(8) !== VERSION) return undefined
  const [budgetBytes, reserveBytes, withholdBytes, usedBytes, peakBytes, refusedCount] = [16, 24, 32, 40, 48, 56].map(
    (offset) => Number(header.readBigUInt64LE(offset)),
  ) as [number, number, number, number, number, number]
  const ledger = { budgetBytes, reserveBytes, withholdBytes, usedBytes, peakBytes, refusedCount }
  return Object.values(ledger).every(Number.isSafeInteger) ? ledger : undefined
}
