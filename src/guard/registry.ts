import { readdir } from 'node:fs/promises'
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

/** More than the pids of any one cgroup come to. */
const KERNEL_FILE_MAX_BYTES = 4 * 1024 * 1024

const ID = /^(?!\.)[A-Za-z0-9_.-]{1,128}$/

/** True for a name that may be an entry's id; everything else in the directory is a temporary file or foreign. */
export function isRegistryId(id: string): boolean {
  return ID.test(id)
}

/**
 * Reads the text of one registry file.
 *
 * @returns undefined for an entry that is incomplete (no `end=1`), of another version or malformed: such a file is
 * ignored by every reader, as the format says.
 */
export function parseRegistryEntry(text: string): RegistryEntry | undefined {
  const values = parseKeyValues(text)
  if (values.get('end') !== '1' || values.get('version') !== '1') return undefined
  const id = values.get('id') ?? ''
  const pid = integer(values.get('pid'))
  const createdNs = values.get('created_ns') ?? '0'
  if (!isRegistryId(id) || pid === undefined || pid < 1 || !/^\d+$/.test(createdNs)) return undefined
  const pidStart = integer(values.get('pid_start') ?? '0')
  const budgetBytes = integer(values.get('budget_bytes'))
  const reserveBytes = integer(values.get('reserve_bytes') ?? '0')
  const priority = integer(values.get('priority') ?? '0')
  if (pidStart === undefined || budgetBytes === undefined || reserveBytes === undefined || priority === undefined) {
    return undefined
  }
  return {
    id,
    name: values.get('name') || undefined,
    request: values.get('request') || undefined,
    engine: values.get('engine') || 'unknown',
    pid,
    pidStart,
    cgroupV2: values.get('cgroup_v2') || undefined,
    cgroupMemory: values.get('cgroup_memory') || undefined,
    cgroupFreezer: values.get('cgroup_freezer') || undefined,
    pgid: integer(values.get('pgid')),
    budgetBytes,
    reserveBytes,
    priority,
    ledger: values.get('ledger') || undefined,
    createdNs: BigInt(createdNs),
  }
}

/**
 * All complete entries in the registry, ordered by registration, live or not. What is no small regular file is no entry.
 *
 * @param registryDir `<runDir>/containers`; a missing directory is an empty registry.
 */
export async function readRegistry(registryDir: string): Promise<RegistryEntry[]> {
  const entries = await Promise.all(
    (await listIfPresent(registryDir)).filter(isRegistryId).map(async (id) => {
      const text = await readSmallFile(path.join(registryDir, id), ENTRY_MAX_BYTES)
      return text === undefined ? undefined : parseRegistryEntry(text)
    }),
  )
  return entries.filter((entry) => entry !== undefined).sort((a, b) => Number(a.createdNs - b.createdNs))
}

/** True while the entry's pid is still the same process, or one of its cgroups holds a process. */
export async function isLive(entry: RegistryEntry, procDir = '/proc'): Promise<boolean> {
  const stat = await readSmallFile(path.join(procDir, String(entry.pid), 'stat'), KERNEL_FILE_MAX_BYTES)
  if (stat !== undefined && (entry.pidStart === 0 || statStartTicks(stat) === entry.pidStart)) return true
  for (const cgroup of [entry.cgroupV2, entry.cgroupMemory, entry.cgroupFreezer]) {
    if (cgroup === undefined) continue
    const processes = await readSmallFile(path.join(cgroup, 'cgroup.procs'), KERNEL_FILE_MAX_BYTES)
    if (processes !== undefined && processes.trim() !== '') return true
  }
  return false
}

/** The entries of the registry whose containers still run. */
export async function readLiveRegistry(registryDir: string, procDir = '/proc'): Promise<RegistryEntry[]> {
  const entries = await readRegistry(registryDir)
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

function integer(text: string | undefined): number | undefined {
  if (text === undefined || !/^-?\d+$/.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}

/** Field 22 of a stat line; the command name in field 2 may hold spaces and parentheses, so count from its end. */
function statStartTicks(stat: string): number {
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19])
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
