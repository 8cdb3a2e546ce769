import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compileForHost } from '../../src/cli/compile-for-host.js'
import { readLedgerHeader } from '../../src/host/ledger.js'
import { nativeBuildDir } from '../../src/host/package-files.js'
import { hostPaths } from '../../src/host/paths.js'
import { engineBytesOf } from '../../src/plan/placeholders.js'
import { encodeRequest } from '../../src/plan/request.js'

const MIB = 1024 ** 2
const hook = path.join(nativeBuildDir(), 'spark-hook')
const paths = hostPaths(mkdtempSync(path.join(tmpdir(), 'spark-run-native-')))

beforeAll(() => {
  for (const dir of [paths.etcDir, paths.registryDir, paths.ledgerDir, paths.logDir])
    mkdirSync(dir, { recursive: true })
  // Without a guard, which this is not about.
  writeFileSync(paths.policyFile, JSON.stringify({ reserve: '64m', onGuardMissing: 'warn', budget: { min: '1m' } }))
  writeFileSync(paths.planFile, JSON.stringify(compileForHost(paths, '0.1.0').plan))
})
afterAll(() => rmSync(paths.prefix, { recursive: true }))

function admit(id: string, ...args: string[]) {
  return spawnSync(hook, ['admit', '--plan', paths.planFile, '--id', id, ...args], { encoding: 'utf8' })
}

describe.skipIf(!existsSync(hook))('what TypeScript writes and spark-hook reads (needs npm run build)', () => {
  for (const budgetBytes of [3 * MIB, 100 * MIB + 12345, 1024 * MIB]) {
    test(`a compiled plan and an encoded request for ${budgetBytes} bytes are admitted, with the same size for engines`, () => {
      const { status, stdout, stderr } = admit(
        `b${budgetBytes}`,
        '--request',
        encodeRequest({ budgetBytes, priority: -3 }),
      )
      expect([status, stderr.includes('refuse')]).toEqual([0, false])
      const grant = JSON.parse(stdout)
      expect(grant).toMatchObject({ budgetBytes, engineBytes: engineBytesOf(budgetBytes), priority: -3 })
      expect(readLedgerHeader(grant.ledger)).toMatchObject({ budgetBytes, reserveBytes: 64 * MIB, usedBytes: 0 })
    })
  }
  test('a wish in the environment is understood alike', () => {
    const grant = JSON.parse(admit('wish', '--env', 'NVIDIA_GPU_MEMORY_LIMIT=300').stdout)
    expect(grant.budgetBytes).toBe(300 * MIB)
  })
  test('a wish that is no size is refused there too', () => {
    const { status, stderr } = admit('bad', '--env', 'MAX_MEMORY_LIMIT_GB=40x')
    expect(status).toBe(125)
    expect(stderr).toContain('MAX_MEMORY_LIMIT_GB')
    expect(stderr).toContain('40x')
  })
})
