import { accessSync, constants, readFileSync } from 'node:fs'
import path from 'node:path'

/** What a machine offers to somebody who wants to start a Docker daemon of his own. */
export interface DockerdGround {
  uid: number
  /** CapEff of /proc/self/status. */
  effectiveCapabilities: bigint
  /** Text of /proc/self/uid_map. */
  uidMap: string
  /** Text of /proc/self/mounts. */
  mounts: string
  /** Absolute path of a program, or undefined. */
  findProgram: (name: string) => string | undefined
}

const CAP_SYS_ADMIN = 21n

/** Where daemons live although a user's PATH often lacks the place. */
const systemDirs = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** Absolute path of an executable in PATH or in the system's program directories. */
export function findProgram(name: string, searchPath = process.env.PATH ?? ''): string | undefined {
  for (const dir of [...searchPath.split(':').filter((part) => part.startsWith('/')), ...systemDirs]) {
    const candidate = path.join(dir, name)
    try {
      accessSync(candidate, constants.X_OK)
      return candidate
    } catch {
      // The next directory may have it.
    }
  }
  return undefined
}

/** The ground this process stands on. */
export function readDockerdGround(): DockerdGround {
  const status = readFileSync('/proc/self/status', 'utf8')
  return {
    uid: process.getuid?.() ?? -1,
    effectiveCapabilities: BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`),
    uidMap: readFileSync('/proc/self/uid_map', 'utf8'),
    mounts: readFileSync('/proc/self/mounts', 'utf8'),
    findProgram,
  }
}

/** True where a cgroup hierarchy that accounts memory is mounted writable. */
function cgroupWritable(mounts: string): boolean {
  return mounts.split('\n').some((line) => {
    const [, , type, options = ''] = line.split(' ')
    const flags = options.split(',')
    return (type === 'cgroup2' || (type === 'cgroup' && flags.includes('memory'))) && flags.includes('rw')
  })
}

/** True where every user is who he is: outside of user namespaces. */
function isFullIdentityMap(uidMap: string): boolean {
  return /^\s*0\s+0\s+4294967295\s*$/.test(uidMap)
}

/**
 * What is missing before a private Docker daemon can start, in words that complete "… cannot start here: …"; empty when
 * nothing is.
 */
export function computeMissingForDockerd(ground: DockerdGround): string[] {
  const missing: string[] = []
  for (const program of ['dockerd', 'containerd', 'runc']) {
    if (ground.findProgram(program) === undefined) missing.push(`the program ${program} is not installed`)
  }
  if (ground.uid !== 0) missing.push(`it needs root, and this is user ${ground.uid}`)
  else if (!isFullIdentityMap(ground.uidMap)) missing.push('root here is only root inside a user namespace')
  else if (((ground.effectiveCapabilities >> CAP_SYS_ADMIN) & 1n) === 0n) {
    missing.push('this root may not mount (no CAP_SYS_ADMIN)')
  }
  if (!cgroupWritable(ground.mounts)) missing.push('no memory cgroup hierarchy is mounted writable')
  return missing
}
