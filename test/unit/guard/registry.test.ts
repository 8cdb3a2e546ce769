import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  isLive,
  isRegistryId,
  parseRegistryEntry,
  readLiveRegistry,
  readRegistry,
} from '../../../src/guard/registry.js'

const COMPLETE = [
  'version=1',
  'id=abc123',
  'name=llm',
  'request=3f0c',
  'engine=docker',
  'pid=4242',
  'pid_start=777',
  'cgroup_v2=/sys/fs/cgroup/docker/abc123',
  'cgroup_memory=',
  'cgroup_freezer=',
  'budget_bytes=42949672960',
  'reserve_bytes=0',
  'priority=-5',
  'ledger=/run/spark-run/ledgers/abc123',
  'created_ns=9223372036854775807',
  'future_key=what=ever',
  'end=1',
  '',
].join('\n')

let dir: string
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'spark-registry-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

test('a complete entry is read with empty texts as undefined and nanoseconds kept exactly', () => {
  expect(parseRegistryEntry(COMPLETE)).toEqual({
    id: 'abc123',
    name: 'llm',
    request: '3f0c',
    engine: 'docker',
    pid: 4242,
    pidStart: 777,
    cgroupV2: '/sys/fs/cgroup/docker/abc123',
    cgroupMemory: undefined,
    cgroupFreezer: undefined,
    pgid: undefined,
    budgetBytes: 42949672960,
    reserveBytes: 0,
    priority: -5,
    ledger: '/run/spark-run/ledgers/abc123',
    createdNs: 9223372036854775807n,
  })
})

test.each([
  ['without its last line', COMPLETE.replace('end=1\n', '')],
  ['of another version', COMPLETE.replace('version=1', 'version=2')],
  ['with a bad number', COMPLETE.replace('budget_bytes=42949672960', 'budget_bytes=40g')],
  ['with a number past 2^53', COMPLETE.replace('pid=4242', 'pid=9007199254740993')],
  ['with an id that is a path', COMPLETE.replace('id=abc123', 'id=../abc123')],
  ['without a pid', COMPLETE.replace('pid=4242\n', '')],
  ['that is empty', ''],
])('an entry %s is ignored', (_, text) => {
  expect(parseRegistryEntry(text)).toBeUndefined()
})

test('ids are plain names that do not begin with a dot', () => {
  expect(isRegistryId('a.b-c_9')).toBe(true)
  for (const id of ['', '.abc.tmp', 'a/b', 'a b', 'x'.repeat(129)]) expect(isRegistryId(id)).toBe(false)
})

test('the registry lists complete entries in order of registration and skips temporary files', async () => {
  writeFileSync(
    path.join(dir, 'second'),
    COMPLETE.replace('id=abc123', 'id=second').replace(/created_ns=\d+/, 'created_ns=20'),
  )
  writeFileSync(
    path.join(dir, 'first'),
    COMPLETE.replace('id=abc123', 'id=first').replace(/created_ns=\d+/, 'created_ns=3'),
  )
  writeFileSync(path.join(dir, '.third.tmp'), COMPLETE)
  writeFileSync(path.join(dir, 'torn'), 'version=1\nid=torn\n')
  expect((await readRegistry(dir)).map((entry) => entry.id)).toEqual(['first', 'second'])
  expect(await readRegistry(path.join(dir, 'absent'))).toEqual([])
})

test('an entry lives while its pid has the registered start time, or its cgroup holds a process', async () => {
  const entry = parseRegistryEntry(
    COMPLETE.replace('cgroup_v2=/sys/fs/cgroup/docker/abc123', `cgroup_v2=${dir}/cgroup`),
  )
  if (entry === undefined) throw new Error('the entry must parse')
  const proc = path.join(dir, 'proc')
  expect(await isLive(entry, proc)).toBe(false)

  mkdirSync(path.join(proc, '4242'), { recursive: true })
  const stat = (start: number) => `4242 (a ) b) S ${Array.from({ length: 18 }, () => '0').join(' ')} ${start} 0 0\n`
  writeFileSync(path.join(proc, '4242', 'stat'), stat(777))
  expect(await isLive(entry, proc)).toBe(true)
  writeFileSync(path.join(proc, '4242', 'stat'), stat(778))
  expect(await isLive(entry, proc)).toBe(false)

  mkdirSync(path.join(dir, 'cgroup'))
  writeFileSync(path.join(dir, 'cgroup', 'cgroup.procs'), '')
  expect(await isLive(entry, proc)).toBe(false)
  writeFileSync(path.join(dir, 'cgroup', 'cgroup.procs'), '4300\n')
  expect(await isLive(entry, proc)).toBe(true)
})

test('this very process is found alive through the real /proc', async () => {
  const { readFileSync } = await import('node:fs')
  const stat = readFileSync('/proc/self/stat', 'utf8')
  const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  const text = COMPLETE.replace('pid=4242', `pid=${process.pid}`).replace('pid_start=777', `pid_start=${start}`)
  writeFileSync(path.join(dir, 'abc123'), text)
  expect((await readLiveRegistry(dir)).map((entry) => entry.pid)).toEqual([process.pid])
})
