import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

/**
 * - `v2`: one unified hierarchy with the controllers in it;
 * - `v1`: legacy hierarchies only;
 * - `hybrid`: legacy hierarchies hold controllers, a unified one is mounted beside them;
 * - `none`: nothing mounted that we can see.
 */
export type CgroupMode = 'v1' | 'v2' | 'hybrid' | 'none'

/** How this machine's control groups are arranged, as far as memory budgets care. */
export interface CgroupLayout {
  readonly mode: CgroupMode
  /** Memory can be limited per group, in whichever hierarchy. */
  readonly memoryController: boolean
  /** Swap can be limited per group: `memory.memsw.*` (v1) or `memory.swap.max` (v2) exists. */
  readonly swapAccounting: boolean
  /** Where the unified hierarchy is mounted, or null. */
  readonly unifiedMount: string | null
  /** Where the v1 memory hierarchy is mounted, or null. */
  readonly memoryMount: string | null
  /** Where the v1 freezer hierarchy is mounted, or null. */
  readonly freezerMount: string | null
}

export interface CgroupOptions {
  /** A mount table in the form of /proc/self/mountinfo. */
  readonly mountinfoFile?: string
  /** Put before every mount point found in the table; for tests. */
  readonly rootDir?: string
}

/** Looks at the mounted cgroup hierarchies; a table that cannot be read gives mode `none`. Never throws. */
export function readCgroupLayout(options: CgroupOptions = {}): CgroupLayout {
  const mounts = cgroupMounts(readText(options.mountinfoFile ?? '/proc/self/mountinfo'), options.rootDir ?? '')
  const unifiedMount = mounts.find((mount) => mount.type === 'cgroup2')?.dir ?? null
  const v1 = (controller: string) => mounts.find((mount) => mount.controllers.includes(controller))?.dir ?? null
  const memoryMount = v1('memory')
  // A v1 mount without a controller (name=systemd) does not make a machine hybrid.
  const legacy = mounts.some((mount) => mount.controllers.length > 0)
  const unifiedMemory = unifiedMount !== null && memoryMount === null && controllersOf(unifiedMount).includes('memory')

  return {
    mode: legacy ? (unifiedMount === null ? 'v1' : 'hybrid') : unifiedMount === null ? 'none' : 'v2',
    memoryController: memoryMount !== null || unifiedMemory,
    swapAccounting:
      memoryMount !== null
        ? existsSync(path.join(memoryMount, 'memory.memsw.limit_in_bytes'))
        : unifiedMemory && hasSwapMax(unifiedMount),
    unifiedMount,
    memoryMount,
    freezerMount: v1('freezer'),
  }
}

interface CgroupMount {
  readonly type: 'cgroup' | 'cgroup2'
  readonly dir: string
  /** v1 only: the kernel controllers of the hierarchy. */
  readonly controllers: readonly string[]
}

/** Options of a v1 mount that are not controllers. */
const NOT_CONTROLLERS = new Set(['rw', 'ro', 'none', 'xattr', 'noprefix', 'clone_children', 'cpuset_v2_mode'])

/** mountinfo: `36 35 98:0 /root /mount/point rw,noatime shared:1 - cgroup cgroup rw,memory` (proc(5)). */
function cgroupMounts(mountinfo: string, rootDir: string): CgroupMount[] {
  const mounts: CgroupMount[] = []
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ')
    const [type, , superOptions = ''] = after.split(' ')
    if (type !== 'cgroup' && type !== 'cgroup2') continue
    const mountPoint = unescapeMountPoint(before.split(' ')[4] ?? '')
    const controllers =
      type === 'cgroup2' ? [] : superOptions.split(',').filter((o) => !NOT_CONTROLLERS.has(o) && !o.includes('='))
    mounts.push({ type, dir: path.join(rootDir === '' ? '/' : rootDir, mountPoint), controllers })
  }
  return mounts
}

/** The kernel writes space, tab, newline and backslash as octal (`\040`). */
function unescapeMountPoint(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}

function controllersOf(unifiedMount: string): string[] {
  return readText(path.join(unifiedMount, 'cgroup.controllers')).trim().split(/\s+/)
}

/**
 * The root group has no memory.swap.max, so its children are asked, and the mount itself, which in a container is no root.
 * native/common/cgroup_path.c goes by the same rule.
 */
function hasSwapMax(unifiedMount: string): boolean {
  try {
    return ['.', ...readdirSync(unifiedMount)].some((name) =>
      existsSync(path.join(unifiedMount, name, 'memory.swap.max')),
    )
  } catch {
    return false
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
