import type { LedgerHeader } from '../../../src/host/ledger.js'

/** A ledger as native/common/ledger.h lays it out: the header page, no slots. */
export function ledgerBytes(header: Partial<LedgerHeader>, { version = 1 } = {}): Buffer {
  const bytes = Buffer.alloc(4096)
  bytes.write('SPRKLDG1', 'latin1')
  bytes.writeUInt32LE(version, 8)
  const fields = ['budgetBytes', 'reserveBytes', 'withholdBytes', 'usedBytes', 'peakBytes', 'refusedCount'] as const
  fields.forEach((field, index) => {
    bytes.writeBigUInt64LE(BigInt(header[field] ?? 0), 16 + 8 * index)
  })
  return bytes
}
