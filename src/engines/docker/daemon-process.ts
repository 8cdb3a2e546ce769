import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs'
import path from 'node:path'
import { isRunning, type ProcessIdentity, readProcessIdentity } from '../../host/process-identity.js'
import { SERVICE_PATH } from '../next-runtime.js'

/** A dockerd found by the socket it listens on. */
export interface DaemonProcess {
  readonly identity: ProcessIdentity
  /** Its command line, program first. */
  readonly args: readonly string[]
  /** The program it runs from, as far as this process may know. */
  readonly executable: string
  /** Where it looks for a bare `runc`. */
  readonly searchPath: string
}

/**
 * The one dockerd that listens on this unix socket. With socket activation systemd holds the socket too; dockerd inside a
 * container may have one of the same name: neither is taken for it.
 *
 * @returns undefined where there is none, or more than one, or this process may not look: then nobody is signalled.
 */
export function findDaemonProcess(socketPath: string, procDir = '/proc'): DaemonProcess | undefined {
  const inodes = listeningInodes(socketPath, procDir)
  const found = listPids(procDir)
    .filter(
      (pid) => commandName(pid, procDir) === 'dockerd' && sharesMounts(pid, procDir) && holds(pid, inodes, procDir),
    )
    .flatMap((pid) => describe(pid, procDir) ?? [])
  return found.length === 1 ? found[0] : undefined
}

/** Tells the daemon to read its configuration file again. @returns false when it is gone meanwhile. */
export function signalReload(daemon: DaemonProcess): boolean {
  if (!isRunning(daemon.identity)) return false
  process.kill(daemon.identity.pid, 'SIGHUP')
  return true
}

/** The value of a dockerd flag, written `--flag value` or `--flag=value`; the last one counts, as in dockerd. */
export function flagValue(args: readonly string[], flag: string): string | undefined {
  let value: string | undefined
  for (const [index, arg] of args.entries()) {
    if (arg === flag) value = args[index + 1]
    else if (arg.startsWith(`${flag}=`)) value = arg.slice(flag.length + 1)
  }
  return value
}

/** Inodes of listening stream sockets of that path; the flags' bit 0x10000 is `__SO_ACCEPTCON`. */
function listeningInodes(socketPath: string, procDir: string): Set<string> {
  const wanted = realSocketPath(socketPath)
  const inodes = new Set<string>()
  for (const line of (readIfPossible(path.join(procDir, 'net/unix')) ?? '').split('\n').slice(1)) {
    const [, , , flags, , , inode, file] = line.split(/ +/)
    if (inode === undefined || file === undefined || (Number.parseInt(flags ?? '', 16) & 0x10000) === 0) continue
    if (realSocketPath(file) === wanted) inodes.add(inode)
  }
  return inodes
}

/** /var/run is a link to /run, and a socket is listed by the name it was bound with. */
function realSocketPath(file: string): string {
  try {
    return path.join(realpathSync(path.dirname(file)), path.basename(file))
  } catch {
    return file
  }
}

function holds(pid: number, inodes: Set<string>, procDir: string): boolean {
  const directory = path.join(procDir, String(pid), 'fd')
  try {
    return readdirSync(directory).some((fd) => {
      const target = readLinkIfPossible(path.join(directory, fd))
      const inode = /^socket:\[(\d+)\]$/.exec(target ?? '')?.[1]
      return inode !== undefined && inodes.has(inode)
    })
  } catch {
    return false
  }
}

function sharesMounts(pid: number, procDir: string): boolean {
  const theirs = readLinkIfPossible(path.join(procDir, String(pid), 'ns/mnt'))
  return theirs !== undefined && theirs === readLinkIfPossible(path.join(procDir, 'self/ns/mnt'))
}

function describe(pid: number, procDir: string): DaemonProcess | undefined {
  const identity = readProcessIdentity(pid, procDir)
  const args = readIfPossible(path.join(procDir, String(pid), 'cmdline'))
    ?.split('\0')
    .slice(0, -1)
  if (identity === undefined || args === undefined) return undefined
  const environment = readIfPossible(path.join(procDir, String(pid), 'environ'))?.split('\0') ?? []
  const searchPath = environment.find((entry) => entry.startsWith('PATH='))?.slice('PATH='.length)
  return {
    identity,
    args,
    executable: readLinkIfPossible(path.join(procDir, String(pid), 'exe')) ?? '',
    searchPath: searchPath ?? SERVICE_PATH,
  }
}

function listPids(procDir: string): number[] {
  return readdirSync(procDir)
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

function commandName(pid: number, procDir: string): string | undefined {
  return readIfPossible(path.join(procDir, String(pid), 'comm'))?.trim()
}

function readIfPossible(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

function readLinkIfPossible(file: string): string | undefined {
  try {
    return readlinkSync(file)
  } catch {
    return undefined
  }
}
