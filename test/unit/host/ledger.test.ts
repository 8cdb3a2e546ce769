import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { readLedgerHeader } from '../../../src/host/ledger.js'
import { ledgerBytes } from './ledger-bytes.js'

const dir = mkdtempSync(path.join(tmpdir(), 'spark-run-ledger-'))
afterAll(() => rmSync(dir, { recursive: true }))

function put(name: string, content: Buffer): string {
  const file = path.join(dir, name)
  writeFileSync(file, content)
  return file
}

describe('a ledger read from outside the container', () => {
  test('gives what the shims wrote', () => {
    const header = {
      budgetBytes: 100,
      reserveBytes: 1,
      withholdBytes: 2,
      usedBytes: 50,
      peakBytes: 60,
      refusedCount: 3,
    }
    expect(readLedgerHeader(put('good', ledgerBytes(header)))).toEqual(header)
  })
  const foreign: [string, Buffer][] = [
    ['an empty file', Buffer.alloc(0)],
    ['half a header', ledgerBytes({}).subarray(0, 40)],
    ['a header without its slots', ledgerBytes({}).subarray(0, 4100)],
    ['no slots', ledgerBytes({}, { slots: 0 })],
    ['more slots than can be', ledgerBytes({}, { slots: 4097 })],
    ['another magic', Buffer.alloc(4096, 'x')],
    ['another version', ledgerBytes({}, { version: 2 })],
    ['a number that cannot be', ledgerBytes({ usedBytes: Number.MAX_SAFE_INTEGER + 1 })],
  ]
  for (const [name, content] of foreign) {
    test(`${name} is no ledger`, () => expect(readLedgerHeader(put('foreign', content))).toBeUndefined())
  }
  test('a link is not followed', () => {
    const link = path.join(dir, 'link')
    symlinkSync(put('target', ledgerBytes({})), link)
    expect(readLedgerHeader(link)).toBeUndefined()
  })
  test('a missing file is no ledger', () => expect(readLedgerHeader(path.join(dir, 'absent'))).toBeUndefined())
})
