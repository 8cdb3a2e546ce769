import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { hostPaths } from '../../src/host/paths.js'
import { installPacked, type PackedPackage } from './packed.js'

const GIB = 1024 ** 3
const STONE = {
  schemaVersion: 1,
  id: 'aaaabbbbccccdddd',
  name: 'llm',
  request: '11111111-2222-3333-4444-555555555555',
  engine: 'docker',
  killedAt: '2026-11-23T10:00:00.000Z',
  reason: 'falling',
  sentence: 'killed llm to save the host: 2.0 GiB of memory was available',
  reserveBytes: GIB,
  memAvailableBytes: 2 * GIB,
  slopeBytesPerSecond: -14 * GIB,
  budgetBytes: 40 * GIB,
  priority: 0,
  use: { driverBytes: 60 * GIB, cgroupBytes: 2 * GIB },
  killToEmptyMs: null,
  samples: Array.from({ length: 100 }, (_, n) => ({ ms: (n - 99) * 100, availableBytes: (100 - n) * GIB })),
}

let installed: PackedPackage
let prefix: string
beforeAll(() => {
  installed = installPacked()
  prefix = mkdtempSync(path.join(tmpdir(), 'spark-explain-'))
  const paths = hostPaths(prefix)
  mkdirSync(paths.tombstoneDir, { recursive: true })
  mkdirSync(paths.logDir, { recursive: true })
  mkdirSync(path.join(prefix, 'bin'))
  writeFileSync(path.join(paths.tombstoneDir, `${STONE.id}.json`), JSON.stringify(STONE))
  const refused = {
    schemaVersion: 1,
    time: '2026-11-23T11:00:00Z',
    type: 'refused',
    id: 'r-1',
    name: 'big',
    sentence: 'it does not fit',
  }
  writeFileSync(paths.eventsFile, `${JSON.stringify(refused)}\n`)
})
afterAll(() => {
  installed?.remove()
  if (prefix !== undefined) rmSync(prefix, { recursive: true })
})

/** No engine is on PATH: what the guard has recorded must do. */
function explain(...args: string[]) {
  return spawnSync(process.execPath, [installed.program, 'explain', ...args], {
    env: { ...process.env, PATH: path.join(prefix, 'bin'), SPARK_RUN_PREFIX: prefix },
    encoding: 'utf8',
  })
}

test('a killed container that is long gone is explained from the record of its kill', () => {
  for (const who of ['llm', 'aaaabbbb', STONE.request]) {
    const result = explain(who)
    expect(result).toMatchObject({ status: 0, stderr: '' })
    expect(result.stdout).toMatch(/^killed llm to save the host: 2\.0 GiB of memory was available\.\n/)
    expect(result.stdout).toMatch(
      /decided by\s+MemAvailable fell so fast that it would have been under the reserve before a kill could work/,
    )
    expect(result.stdout).toContain('falling by 14.0 GiB/s')
    expect(result.stdout).toMatch(/[▁▂▃▄▅▆▇█]{60}┤ kill/)
  }
})

test('--json is one object with a schema version, and the samples', () => {
  const result = explain('llm', '--json')
  const answer = JSON.parse(result.stdout)
  expect(answer).toMatchObject({
    schemaVersion: 1,
    verdict: 'guard-kill',
    exitCode: 137,
    tombstone: { reason: 'falling' },
  })
  expect(answer.tombstone.samples).toHaveLength(100)
})

test('a refusal is told in its own words', () => {
  expect(explain('big').stdout).toMatch(/^big was refused before it started: it does not fit\.\n/)
})

test('an unknown name: exit code 1, in words and in JSON, and what was perhaps meant', () => {
  const result = explain('lmm')
  expect(result).toMatchObject({ status: 1, stderr: '' })
  expect(result.stdout).toContain('Perhaps you mean: llm')
  const json = explain('lmm', '--json')
  expect(json.status).toBe(1)
  expect(JSON.parse(json.stdout)).toMatchObject({ verdict: 'unknown', near: ['llm'] })
})

test('no name at all is a mistake on the command line: exit code 2, one sentence and where to look', () => {
  expect(explain()).toMatchObject({
    status: 2,
    stdout: '',
    stderr:
      'spark-run: explain lacks its container: name, id or request of the container\nSee: spark-run explain --help\n',
  })
})
