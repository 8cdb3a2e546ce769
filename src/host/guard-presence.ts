import { readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { parseKeyValues } from '../guard/registry.js'
import type { HostPaths } from './paths.js'

/** The guard as it describes itself: docs/formats.md section 8. */
interface GuardState {
  readonly pid: number
  readonly reserveBytes: number
  readonly withholdBytes: number
  /** MemAvailable is under twice the reserve: admission is closed. */
  readonly soft: boolean
  readonly killBy: string
  readonly realtime: boolean
  readonly lockedMemory: boolean
}

export interface GuardPresence {
  readonly running: boolean
  /** What it says of itself; null while it does not run. */
  readonly state: GuardState | null
}

/**
 * Whether a guard protects this host. It does while it holds the lock on `guard.lock`; the lock is looked up in the
 * kernel's table and never tried, because a try of ours could be what keeps a starting guard from getting it.
 */
export function readGuardPresence(
  paths: Pick<HostPaths, 'guardLockFile' | 'guardStateFile'>,
  procDir = '/proc',
): GuardPresence {
  const state = readState(paths.guardStateFile)
  const running = holdsLock(paths.guardLockFile, procDir) || (state !== undefined && isGuard(state.pid, procDir))
  return { running, state: running ? (state ?? null) : null }
}

function readState(file: string): GuardState | undefined {
  const values = parseKeyValues(readText(file))
  const number = (key: string) => Number(values.get(key) ?? Number.NaN)
  const pid = number('pid')
  if (values.get('version') !== '1' || values.get('ready') !== '1' || !Number.isInteger(pid) || pid < 1)
    return undefined
  return {
    pid,
    reserveBytes: number('reserve_bytes') || 0,
    withholdBytes: number('withhold_bytes') || 0,
    soft: values.get('soft') === '1',
    killBy: values.get('kill_by') ?? 'unknown',
    realtime: values.get('realtime') === '1',
    lockedMemory: values.get('locked_memory') === '1',
  }
}

/** /proc/locks: `1: FLOCK  ADVISORY  WRITE 713 00:1a:4711 0 EOF`, device in hexadecimal. */
function holdsLock(lockFile: string, procDir: string): boolean {
  let lock: { dev: bigint; ino: bigint }
  try {
    lock = statSync(lockFile, { bigint: true })
  } catch {
    return false
  }
  return [...readText(path.join(procDir, 'locks')).matchAll(/ FLOCK +\S+ +WRITE +-?\d+ +(\w+):(\w+):(\d+) /g)].some(
    ([, major = '', minor = '', inode = '']) =>
      BigInt(inode) === lock.ino &&
      Number.parseInt(major, 16) === majorOf(lock.dev) &&
      Number.parseInt(minor, 16) === minorOf(lock.dev),
  )
}

/** glibc's gnu_dev_major and gnu_dev_minor. */
const majorOf = (dev: bigint) => Number(((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n))
const minorOf = (dev: bigint) => Number((dev & 0xffn) | ((dev >> 12n) & 0xffffff00n))

/** For filesystems whose files carry another device number than their locks (overlay, btrfs). */
function isGuard(pid: number, procDir: string): boolean {
  return readText(path.join(procDir, String(pid), 'comm')).trim() === 'spark-guard'
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
