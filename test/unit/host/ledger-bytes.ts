import type { LedgerHeader } from '../../../src/host/ledger.js'

/** A ledger as native/common/ledger.h lays it out; `usedBytes` is what its two slots hold together. */
export function ledgerBytes(header: Partial<LedgerHeader>, { version = 1, slots = 2 } = {}): Buffer {
  const bytes = Buffer.alloc(4096 + 2 * 64)
  bytes.write('SPRKLDG1', 'latin1')
  bytes.writeUInt32LE(version, 8)
  bytes.writeUInt32LE(slots, 12)
  const fields = { budgetBytes: 16, reserveBytes: 24, withholdBytes: 32, peakBytes: 48, refusedCount: 56 } as const
  for (const [field, offset] of Object.entries(fields)) {
    bytes.writeBigUInt64LE(BigInt(header[field as keyof typeof fields] ?? 0), offset)
  }
  // The sum at the last reservation, which says nothing of now.
  bytes.writeBigUInt64LE(12345n, 40)
  bytes.writeUInt32LE(2, 68)
  const used = BigInt(header.usedBytes ?? 0)
  bytes.writeBigUInt64LE(used / 3n, 4096)
  bytes.writeBigUInt64LE(used - used / 3n, 4096 + 64)
  return bytes
}
