import { readFileSync } from 'node:fs'
import path from 'node:path'
import { readCgroupLayout } from './cgroup.js'

/** The memory cgroup of a process, and the books that it keeps. */
export interface MemoryCgroup {
  readonly version: 1 | 2
  /** As the process sees it: `/user.slice/…`. */
  readonly path: string
  readonly dir: string
  /** The tightest limit on the way up; null where there is none. */
  readonly limitBytes: number | null
}

/** v1 has no word for "no limit": it says the largest number of whole pages. */
const NO_LIMIT_V1_BYTES = 2 ** 62

/** The memory cgroup of a process; undefined where there is none, or it is a root, which keeps no account of its own. */
export function readMemoryCgroup(pid: number | 'self' = 'self', procDir = '/proc'): MemoryCgroup | undefined {
  const { memoryMount, unifiedMount } = readCgroupLayout()
  const version = memoryMount === null ? 2 : 1
  const mount = memoryMount ?? unifiedMount
  if (mount === null) return undefined
  const own = parseCgroupPath(readText(path.join(procDir, String(pid), 'cgroup')), version)
  if (own === undefined || own === '/') return undefined
  const dir = path.join(mount, own)
  return { version, path: own, dir, limitBytes: tightestLimit(dir, mount, version) }
}

/** The memory cgroup's path in the text of /proc/<pid>/cgroup. */
function parseCgroupPath(text: string, version: 1 | 2): string | undefined {
  for (const line of text.split('\n')) {
    const [, controllers = '', ...where] = line.split(':')
    const isOurs = version === 2 ? line.startsWith('0::') : controllers.split(',').includes('memory')
    if (isOurs) return where.join(':')
  }
  return undefined
}

/** What a memory cgroup holds now, page cache included; undefined where it is gone. */
export function readCgroupCurrentBytes({ version, dir }: MemoryCgroup): number | undefined {
  const text = readText(path.join(dir, version === 2 ? 'memory.current' : 'memory.usage_in_bytes')).trim()
  return text === '' ? undefined : Number(text)
}

function tightestLimit(dir: string, mount: string, version: 1 | 2): number | null {
  const limits: number[] = []
  for (let at = dir; at.startsWith(mount) && at !== mount; at = path.dirname(at)) {
    const text = readText(path.join(at, version === 2 ? 'memory.max' : 'memory.limit_in_bytes')).trim()
    const limit = Number(text)
    if (text !== '' && text !== 'max' && limit < NO_LIMIT_V1_BYTES) limits.push(limit)
  }
  return limits.length === 0 ? null : Math.min(...limits)
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
