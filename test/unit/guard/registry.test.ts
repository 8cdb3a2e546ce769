import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
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
    cgroupV2Id: undefined,
    cgroupMemoryId: undefined,
    cgroupFreezerId: undefined,
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
  ['with a pid past 2^31', COMPLETE.replace('pid=4242', 'pid=2147483648')],
  ['with a negative budget', COMPLETE.replace('budget_bytes=42949672960', 'budget_bytes=-1')],
  ['with an empty budget', COMPLETE.replace('budget_bytes=42949672960', 'budget_bytes=')],
  ['with a budget past 2^64', COMPLETE.replace('budget_bytes=42949672960', 'budget_bytes=18446744073709551616')],
  ['with a priority past 1000', COMPLETE.replace('priority=-5', 'priority=1001')],
  ['with a bad process group', COMPLETE.replace('end=1', 'pgid=\nend=1')],
  ['with bad kills', COMPLETE.replace('end=1', 'kills=4294967296\nend=1')],
  ['with a step up in its cgroup', COMPLETE.replace('/sys/fs/cgroup/docker/', '/sys/fs/cgroup/docker/../')],
  ['with a step up at the end of its cgroup', COMPLETE.replace('cgroup_memory=', 'cgroup_memory=/sys/..')],
  ['with a relative cgroup', COMPLETE.replace('cgroup_freezer=', 'cgroup_freezer=sys')],
  ['with the root as its cgroup', COMPLETE.replace('cgroup_v2=/sys/fs/cgroup/docker/abc123', 'cgroup_v2=/')],
  ['with a step up in its ledger', COMPLETE.replace('ledger=/run', 'ledger=/../run')],
  ['with a name of more than 128 bytes', COMPLETE.replace('name=llm', `name=${'ä'.repeat(65)}`)],
  ['with a request of more than 63 bytes', COMPLETE.replace('request=3f0c', `request=${'r'.repeat(64)}`)],
  ['with an engine of more than 15 bytes', COMPLETE.replace('engine=docker', `engine=${'e'.repeat(16)}`)],
  ['with a line that is no key=value', COMPLETE.replace('end=1', 'hello\nend=1')],
  ['with a zero byte', COMPLETE.replace('what=ever', 'what\0ever')],
  ['with a line of more than 1023 bytes', COMPLETE.replace('what=ever', 'x'.repeat(1020))],
  ['whose last line was cut off', COMPLETE.slice(0, -1)],
  ['whose second of two equal keys is bad', COMPLETE.replace('end=1', 'budget_bytes=x\nend=1')],
  ['with an id that is a path', COMPLETE.replace('id=abc123', 'id=../abc123')],
  ['without an id', COMPLETE.replace('id=abc123\n', '')],
  ['that is empty', ''],
])('an entry %s is ignored', (_, text) => {
  expect(parseRegistryEntry(text)).toBeUndefined()
})

test('as in the guard: what is not there counts as zero, the last of two equal keys wins, nothing counts after the end', () => {
  const text =
    'version=1\n\nid=a\nbudget_bytes=1\nbudget_bytes=9007199254740993\ncgroup_v2=/a/..b\npriority=-0\nend=1\nrubbish'
  expect(parseRegistryEntry(text)).toMatchObject({
    ...{ id: 'a', pid: 0, pidStart: 0, budgetBytes: Number('9007199254740993'), priority: 0, createdNs: 0n },
    ...{ cgroupV2: '/a/..b', engine: 'unknown' },
  })
})

test('files that the guard ignores are named: broken, another id, too long, no file; absent and temporary ones are not', async () => {
  writeFileSync(path.join(dir, 'abc123'), COMPLETE)
  writeFileSync(
    path.join(dir, 'negative'),
    COMPLETE.replace('id=abc123', 'id=negative').replace('_bytes=42', '_bytes=-42'),
  )
  writeFileSync(path.join(dir, 'other'), COMPLETE)
  writeFileSync(path.join(dir, 'long'), `${COMPLETE.replace('id=abc123', 'id=long')}${'#'.repeat(4096)}`)
  symlinkSync('abc123', path.join(dir, 'link'))
  mkdirSync(path.join(dir, 'folder'))
  execFileSync('mkfifo', [path.join(dir, 'fifo')])
  writeFileSync(path.join(dir, '.half.tmp'), 'version=1')
  const { entries, invalid } = await readRegistry(dir)
  expect(invalid).toEqual(['fifo', 'folder', 'link', 'long', 'negative', 'other'])
  expect(entries.map((entry) => entry.id)).toEqual(['abc123'])
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
  expect((await readRegistry(dir)).entries.map((entry) => entry.id)).toEqual(['first', 'second'])
  expect(await readRegistry(path.join(dir, 'absent'))).toEqual({ entries: [], invalid: [] })
})

test('an entry lives while its pid has the registered start time, or its cgroup holds a process', async () => {
  const entry = parseRegistryEntry(
    COMPLETE.replace('cgroup_v2=/sys/fs/cgroup/docker/abc123', `cgroup_v2=${dir}/cgroup`),
  )
  if (entry === undefined) throw new Error('the entry must parse')
  const proc = path.join(dir, 'proc')
  expect(await isLive(entry, proc)).toBe(false)

  mkdirSync(path.join(proc, '4242'), { recursive: true })
  const stat = (start: number, state = 'S') =>
    `4242 (a ) b) ${state} ${Array.from({ length: 18 }, () => '0').join(' ')} ${start} 0 0\n`
  writeFileSync(path.join(proc, '4242', 'stat'), stat(777))
  expect(await isLive(entry, proc)).toBe(true)
  writeFileSync(path.join(proc, '4242', 'stat'), stat(777, 'Z'))
  expect(await isLive(entry, proc)).toBe(false)
  expect(await isLive({ ...entry, pidStart: 0 }, proc)).toBe(false)
  writeFileSync(path.join(proc, '4242', 'stat'), stat(778))
  expect(await isLive(entry, proc)).toBe(false)

  mkdirSync(path.join(dir, 'cgroup'))
  writeFileSync(path.join(dir, 'cgroup', 'cgroup.procs'), '')
  expect(await isLive(entry, proc)).toBe(false)
  writeFileSync(path.join(dir, 'cgroup', 'cgroup.procs'), '4300\n')
  expect(await isLive(entry, proc)).toBe(true)
  const { ino } = statSync(path.join(dir, 'cgroup'), { bigint: true })
  expect(await isLive({ ...entry, cgroupV2Id: ino }, proc)).toBe(true)
  expect(await isLive({ ...entry, cgroupV2Id: ino + 1n }, proc)).toBe(false)
})

test('this very process is found alive through the real /proc', async () => {
  const { readFileSync } = await import('node:fs')
  const stat = readFileSync('/proc/self/stat', 'utf8')
  const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  const text = COMPLETE.replace('pid=4242', `pid=${process.pid}`).replace('pid_start=777', `pid_start=${start}`)
  writeFileSync(path.join(dir, 'abc123'), text)
  expect((await readLiveRegistry(dir)).map((entry) => entry.pid)).toEqual([process.pid])
})
