import { lstat, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { isSystemError } from '../errors.js'
import { readSmallFile } from '../host/regular-file.js'

/** One live or recently live container as the hook registered it (formats.md section 6). */
export interface RegistryEntry {
  readonly id: string
  readonly name: string | undefined
  readonly request: string | undefined
  readonly engine: string
  /** The container's init in the host's pid namespace. */
  readonly pid: number
  /** Field 22 of /proc/<pid>/stat, in clock ticks since boot: tells a reused pid from the registered one. */
  readonly pidStart: number
  readonly cgroupV2: string | undefined
  readonly cgroupMemory: string | undefined
  readonly cgroupFreezer: string | undefined
  /** Inode numbers, past 2^53 some day: which cgroup of that path was registered; undefined in entries that do not say. */
  readonly cgroupV2Id: bigint | undefined
  readonly cgroupMemoryId: bigint | undefined
  readonly cgroupFreezerId: bigint | undefined
  /** Set only in rehearsals without an engine. */
  readonly pgid: number | undefined
  readonly budgetBytes: number
  readonly reserveBytes: number
  readonly priority: number
  readonly ledger: string | undefined
  /** CLOCK_BOOTTIME at registration; nanoseconds since boot pass 2^53 after 104 days, hence bigint. */
  readonly createdNs: bigint
}

/** The most an entry may hold: docs/formats.md section 6. */
const ENTRY_MAX_BYTES = 4096
const LINE_MAX_BYTES = 1023

/** More than the pids of any one cgroup come to. */
const KERNEL_FILE_MAX_BYTES = 4 * 1024 * 1024

const ID = /^(?!\.)[A-Za-z0-9_.-]{1,128}$/

/** True for a name that may be an entry's id; everything else in the directory is a temporary file or foreign. */
export function isRegistryId(id: string): boolean {
  return ID.test(id)
}

/**
 * Reads the text of one registry file, as strictly as the guard does (native/common/registry.c).
 *
 * @returns undefined for an entry that is incomplete (no `end=1`), of another version or malformed: such a file is
 * ignored by every reader, as the format says.
 */
export function parseRegistryEntry(text: string): RegistryEntry | undefined {
  const values = parseStrictly(text)
  if (values === undefined || values.get('version') !== '1' || !values.has('id') || !values.has('budget_bytes'))
    return undefined
  const number = (key: string) => Number(values.get(key) ?? '0')
  return {
    id: values.get('id') ?? '',
    name: values.get('name') || undefined,
    request: values.get('request') || undefined,
    engine: values.get('engine') || 'unknown',
    pid: number('pid'),
    pidStart: number('pid_start'),
    cgroupV2: values.get('cgroup_v2') || undefined,
    cgroupMemory: values.get('cgroup_memory') || undefined,
    cgroupFreezer: values.get('cgroup_freezer') || undefined,
    cgroupV2Id: inode(values.get('cgroup_v2_id')),
    cgroupMemoryId: inode(values.get('cgroup_memory_id')),
    cgroupFreezerId: inode(values.get('cgroup_freezer_id')),
    pgid: values.has('pgid') ? number('pgid') : undefined,
    budgetBytes: number('budget_bytes'),
    reserveBytes: number('reserve_bytes'),
    priority: number('priority') || 0, // "-0" is a number there
    ledger: values.get('ledger') || undefined,
    createdNs: BigInt(values.get('created_ns') ?? '0'),
  }
}

const isNumberTo = (most: bigint) => (value: string) => /^[0-9]+$/.test(value) && BigInt(value) <= most
const isTextOf = (maxBytes: number) => (value: string) => Buffer.byteLength(value) <= maxBytes

/** Empty, or absolute and without a ".." step: what is named here may be killed. */
const isPath = (value: string) =>
  value === '' || (/^\/./s.test(value) && !value.split('/').includes('..') && isTextOf(511)(value))

const isSize = isNumberTo(2n ** 64n - 1n)
const isPid = isNumberTo(2n ** 31n - 1n)

/** What the guard accepts of each key that it knows. */
const ACCEPTS: ReadonlyMap<string, (value: string) => boolean> = new Map([
  ['version', (value: string) => value === '1'],
  ['id', isRegistryId],
  ['name', isTextOf(128)],
  ['request', isTextOf(63)],
  ['engine', isTextOf(15)],
  ['pid', isPid],
  ['pid_start', isSize],
  ['pgid', isPid],
  ['cgroup_v2', isPath],
  ['cgroup_memory', isPath],
  ['cgroup_freezer', isPath],
  ['cgroup_v2_id', isSize],
  ['cgroup_memory_id', isSize],
  ['cgroup_freezer_id', isSize],
  ['budget_bytes', isSize],
  ['reserve_bytes', isSize],
  ['priority', (value: string) => /^-?[0-9]+$/.test(value) && Math.abs(Number(value)) <= 1000],
  ['ledger', isPath],
  ['created_ns', isSize],
  ['kills', isNumberTo(2n ** 32n - 1n)],
])

/** The pairs up to `end=1`; undefined where a line before it is not acceptable, or it is missing. */
function parseStrictly(text: string): Map<string, string> | undefined {
  const values = new Map<string, string>()
  // A line that was cut off says nothing, not even end=1.
  for (const line of text.split('\n').slice(0, -1)) {
    if (line === '') continue
    const at = line.indexOf('=')
    if (at < 0 || line.includes('\0') || Buffer.byteLength(line) > LINE_MAX_BYTES) return undefined
    const [key, value] = [line.slice(0, at), line.slice(at + 1)]
    if (key === 'end' && value === '1') return values
    if (ACCEPTS.get(key)?.(value) === false) return undefined
    values.set(key, value)
  }
  return undefined
}

/** What `<runDir>/containers` holds. */
export interface Registry {
  /** All complete entries, ordered by registration, live or not. */
  readonly entries: readonly RegistryEntry[]
  /** Names of what else is there where an entry should be; the guard ignores it, too. */
  readonly invalid: readonly string[]
}

/** @param registryDir `<runDir>/containers`; a missing directory is an empty registry. */
export async function readRegistry(registryDir: string): Promise<Registry> {
  const ids = (await listIfPresent(registryDir)).filter(isRegistryId).sort()
  const read = await Promise.all(ids.map((id) => readEntry(registryDir, id)))
  return {
    entries: read.filter((entry) => typeof entry === 'object').sort((a, b) => (a.createdNs < b.createdNs ? -1 : 1)),
    invalid: ids.filter((_, index) => read[index] === 'invalid'),
  }
}

/** `undefined` for a file that went while it was read, or that only others may read: nothing can be said of it. */
async function readEntry(registryDir: string, id: string): Promise<RegistryEntry | 'invalid' | undefined> {
  const file = path.join(registryDir, id)
  const text = await readSmallFile(file, ENTRY_MAX_BYTES)
  if (text !== undefined) {
    const entry = parseRegistryEntry(text)
    return entry?.id === id ? entry : 'invalid'
  }
  const status = await lstat(file).catch(() => undefined)
  return status !== undefined && (!status.isFile() || status.size > ENTRY_MAX_BYTES) ? 'invalid' : undefined
}

/** True while the entry's pid is still the same process, or one of its cgroups holds a process. */
export async function isLive(entry: RegistryEntry, procDir = '/proc'): Promise<boolean> {
  const text = await readSmallFile(path.join(procDir, String(entry.pid), 'stat'), KERNEL_FILE_MAX_BYTES)
  if (text !== undefined && startTicksOfLiving(text) === entry.pidStart) return true
  const cgroups = [
    [entry.cgroupV2, entry.cgroupV2Id],
    [entry.cgroupMemory, entry.cgroupMemoryId],
    [entry.cgroupFreezer, entry.cgroupFreezerId],
  ] as const
  for (const [cgroup, id] of cgroups) {
    if (cgroup === undefined || (id !== undefined && (await inodeOf(cgroup)) !== id)) continue
    const processes = await readSmallFile(path.join(cgroup, 'cgroup.procs'), KERNEL_FILE_MAX_BYTES)
    if (processes !== undefined && processes.trim() !== '') return true
  }
  return false
}

/** The entries of the registry whose containers still run. */
export async function readLiveRegistry(registryDir: string, procDir = '/proc'): Promise<RegistryEntry[]> {
  return filterLive((await readRegistry(registryDir)).entries, procDir)
}

export async function filterLive(entries: readonly RegistryEntry[], procDir = '/proc'): Promise<RegistryEntry[]> {
  const live = await Promise.all(entries.map((entry) => isLive(entry, procDir)))
  return entries.filter((_, index) => live[index])
}

/** Reads `key=value` lines; a line without `=` is skipped, the first of two equal keys wins. */
export function parseKeyValues(text: string): Map<string, string> {
  const values = new Map<string, string>()
  for (const line of text.split('\n')) {
    const at = line.indexOf('=')
    if (at > 0 && !values.has(line.slice(0, at))) values.set(line.slice(0, at), line.slice(at + 1))
  }
  return values
}

function inode(text: string | undefined): bigint | undefined {
  return text === undefined || BigInt(text) === 0n ? undefined : BigInt(text)
}

async function inodeOf(directory: string): Promise<bigint | undefined> {
  try {
    return (await stat(directory, { bigint: true })).ino
  } catch (error) {
    if (isSystemError(error)) return undefined
    throw error
  }
}

/** Field 22 of a stat line, undefined for a zombie's; the command name in field 2 may hold spaces and parentheses, so count from its end. */
function startTicksOfLiving(stat: string): number | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : Number(fields[19])
}

/** The names in a directory; none where there is no such directory. */
export async function listIfPresent(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (isSystemError(error) && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return []
    throw error
  }
}
