import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type HostPaths, hostPaths } from '../../../src/host/paths.js'
import { readStatus, type Status } from '../../../src/host/status.js'
import { ledgerBytes } from './ledger-bytes.js'

const GIB = 1024 ** 3
const dir = mkdtempSync(path.join(tmpdir(), 'spark-run-status-'))
const paths: HostPaths = hostPaths(dir)
let status: Status

function put(file: string, content: string | Buffer): string {
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, content)
  return file
}

/** Field 22 of this process's stat line, whose name holds no space. */
const ownStart =
  readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')[19] ?? ''

function register(id: string, lines: Record<string, string | number>): void {
  const values = {
    version: 1,
    id,
    engine: 'docker',
    pid: process.pid,
    pid_start: ownStart,
    priority: 0,
    ...lines,
    end: 1,
  }
  const text = Object.entries(values).map(([key, value]) => `${key}=${value}\n`)
  put(path.join(paths.registryDir, id), text.join(''))
}

beforeAll(async () => {
  put(path.join(dir, 'meminfo'), 'MemTotal: 104857600 kB\nMemFree: 1 kB\nMemAvailable: 52428800 kB\n')
  put(path.join(dir, 'cg/memory.stat'), 'active_anon 1000\ninactive_anon 24\nunevictable 0\n')
  const ledger = put(
    path.join(paths.ledgerDir, 'a'),
    ledgerBytes({ usedBytes: 5 * GIB, peakBytes: 6 * GIB, refusedCount: 2 }),
  )
  register('first', { name: 'web', budget_bytes: 20 * GIB, ledger, cgroup_v2: path.join(dir, 'cg'), created_ns: 1 })
  register('second', { budget_bytes: 30 * GIB, reserve_bytes: 12 * GIB, priority: -5, created_ns: 2 })
  register('ended', { budget_bytes: 90 * GIB, pid: 2 ** 22 + 1, pid_start: 1, created_ns: 3 })
  register('climber', { budget_bytes: 1, cgroup_v2: '/sys/fs/cgroup/a/../b' })
  register('debtor', { budget_bytes: -1 })
  const event = (type: string) => JSON.stringify({ schemaVersion: 1, time: '2026-01-01T00:00:00Z', type })
  put(paths.eventsFile, `${['start', 'kill', 'refused', 'kill', 'warning'].map(event).join('\n')}\n{"torn`)
  status = await readStatus({
    paths,
    reserveBytes: 8 * GIB,
    withholdBytes: 0,
    meminfoFile: path.join(dir, 'meminfo'),
  })
})
afterAll(() => rmSync(dir, { recursive: true }))

describe('the status of a machine with two containers', () => {
  test('the highest reserve that a container asked for holds, and what is left lies beside budgets and reserve', () => {
    expect(status.machine).toMatchObject({
      memTotalBytes: 100 * GIB,
      memAvailableBytes: 50 * GIB,
      reserveBytes: 12 * GIB,
      leftBytes: (100 - 12 - 20 - 30) * GIB,
    })
  })
  test('each container shows its own use; what cannot be known is null', () => {
    expect(status.containers).toEqual([
      {
        id: 'first',
        name: 'web',
        engine: 'docker',
        priority: 0,
        budgetBytes: 20 * GIB,
        driverBytes: 5 * GIB,
        cgroupBytes: 1024,
        peakDriverBytes: 6 * GIB,
        refusedCount: 2,
      },
      {
        id: 'second',
        name: null,
        engine: 'docker',
        priority: -5,
        budgetBytes: 30 * GIB,
        driverBytes: null,
        cgroupBytes: null,
        peakDriverBytes: null,
        refusedCount: null,
      },
    ])
  })
  test('registry files that the guard ignores hold nothing and are named', () => {
    expect(status.invalidRegistryFiles).toEqual(['climber', 'debtor'])
  })
  test('kills and refusals are counted from the event log, a torn line is not', () => {
    expect(status.counts).toEqual({ kills: 2, refusals: 1, warnings: 1 })
  })
  test('a kill is counted once: by its event, by the same event written twice, by its tombstone', async () => {
    const rig = hostPaths(path.join(dir, 'kills'))
    const stone = (id: string, killedAt: string) => ({
      ...{ schemaVersion: 1, id, killedAt, reason: 'falling', sentence: 'killed it', reserveBytes: 1 },
      ...{ memAvailableBytes: 1, slopeBytesPerSecond: 0, budgetBytes: 1, use: { driverBytes: 0, cgroupBytes: 0 } },
    })
    const [first, second] = [stone('a', '2026-01-01T00:00:00.000Z'), stone('a', '2026-01-02T00:00:00.000Z')]
    const kills = [first, second, second, second]
    const lines = kills.map((kill) => JSON.stringify({ ...kill, type: 'kill', time: kill.killedAt }))
    put(rig.eventsFile, `${lines.join('\n')}\n`)
    put(path.join(rig.tombstoneDir, 'a.json'), JSON.stringify(second))
    // The log directory was full at this one.
    put(path.join(rig.tombstoneDir, 'b.json'), JSON.stringify(stone('b', '2026-01-03T00:00:00.000Z')))
    const { counts } = await readStatus({
      ...{ paths: rig, reserveBytes: GIB, withholdBytes: 0, meminfoFile: path.join(dir, 'meminfo') },
    })
    expect(counts.kills).toBe(3)
  })
  test('without a guard it says so', () => expect(status.guard).toEqual({ running: false, state: null }))
})
