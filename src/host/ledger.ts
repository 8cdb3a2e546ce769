import { closeSync, constants, openSync, readSync } from 'node:fs'

const MAGIC = 'SPRKLDG1'
const VERSION = 1
const HEADER_BYTES = 72
/** Where the slots begin, how far apart they are, and how many a reader accepts. */
const SLOTS_OFFSET = 4096
const SLOT_BYTES = 64
const SLOTS_MAX = 4096

/** What the processes of one container say they hold of the driver's memory: docs/formats.md section 7. */
export interface LedgerHeader {
  readonly budgetBytes: number
  readonly reserveBytes: number
  readonly withholdBytes: number
  /** The sum of the slots: of a process that died, too, until the next one that needs the room. */
  readonly usedBytes: number
  readonly peakBytes: number
  /** Allocations that were over the budget and got an out-of-memory error. */
  readonly refusedCount: number
}

/**
 * Reads a ledger's header and the sum of its slots. The container can write the file, so it is a hint: whatever does not look
 * like a ledger (another magic or version, numbers beyond 2^53, a link, too short) is undefined.
 */
export function readLedgerHeader(file: string): LedgerHeader | undefined {
  let fd: number | undefined
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    return readFrom(fd)
  } catch {
    return undefined
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

function readFrom(fd: number): LedgerHeader | undefined {
  const header = Buffer.alloc(HEADER_BYTES)
  if (readSync(fd, header, 0, HEADER_BYTES, 0) !== HEADER_BYTES) return undefined
  if (header.toString('latin1', 0, 8) !== MAGIC || header.readUInt32LE(8) !== VERSION) return undefined
  const slotCount = header.readUInt32LE(12)
  if (slotCount === 0 || slotCount > SLOTS_MAX) return undefined
  const slots = Buffer.alloc(Math.min(slotCount, header.readUInt32LE(68)) * SLOT_BYTES)
  if (readSync(fd, slots, 0, slots.length, SLOTS_OFFSET) !== slots.length) return undefined
  const [budgetBytes, reserveBytes, withholdBytes, peakBytes, refusedCount] = [16, 24, 32, 48, 56].map((offset) =>
    Number(header.readBigUInt64LE(offset)),
  ) as [number, number, number, number, number]
  let usedBytes = 0
  for (let at = 0; at < slots.length; at += SLOT_BYTES) usedBytes += Number(slots.readBigUInt64LE(at))
  const ledger = { budgetBytes, reserveBytes, withholdBytes, usedBytes, peakBytes, refusedCount }
  return Object.values(ledger).every(Number.isSafeInteger) ? ledger : undefined
}
