import { readFileSync } from 'node:fs'
import path from 'node:path'

/** Pages on the anonymous and unevictable lists: anonymous memory, shared memory and what is locked, each counted once. */
const HELD_LISTS = ['active_anon', 'inactive_anon', 'unevictable']

/** What the kernel holds for a container and cannot drop; it is on no list, and v1 does not tell it. */
const OF_KERNEL = ['slab_unreclaimable', 'sock', 'kernel_stack', 'pagetables', 'sec_pagetables', 'percpu', 'vmalloc']

/** Where a container's memory cgroup is; absolute directories, undefined where it has none. */
export interface CgroupDirs {
  readonly cgroupV2: string | undefined
  readonly cgroupMemory: string | undefined
}

/**
 * Bytes that a container's memory cgroup holds and cannot drop; page cache is not among them. v1's own figures leave out
 * child groups, so its `total_` ones are read. Undefined where the cgroup is gone or has no memory controller.
 */
export function readHeldBytes({ cgroupV2, cgroupMemory }: CgroupDirs): number | undefined {
  if (cgroupMemory !== undefined) return sumOf(cgroupMemory, 'total_')
  return cgroupV2 === undefined ? undefined : sumOf(cgroupV2, '')
}

function sumOf(dir: string, prefix: string): number | undefined {
  let text: string
  try {
    text = readFileSync(path.join(dir, 'memory.stat'), 'utf8')
  } catch {
    return undefined
  }
  const values = new Map(text.split('\n').map((line) => line.split(' ') as [string, string]))
  const keys = [...HELD_LISTS.map((list) => `${prefix}${list}`), ...OF_KERNEL]
  return keys.reduce((sum, key) => sum + Number(values.get(key) ?? 0), 0)
}
