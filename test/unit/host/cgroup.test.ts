import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readCgroupLayout } from '../../../src/host/cgroup.js'
import { readHeldBytes } from '../../../src/host/cgroup-memory.js'

let rootDir = ''
beforeEach(() => {
  rootDir = mkdtempSync(path.join(tmpdir(), 'spark-run-cgroup-'))
})
afterEach(() => rmSync(rootDir, { recursive: true }))

function put(file: string, text = ''): void {
  const full = path.join(rootDir, file)
  mkdirSync(path.dirname(full), { recursive: true })
  writeFileSync(full, text)
}

function layoutOf(...mounts: string[]) {
  put('mountinfo', ['22 1 254:0 / / rw - ext4 /dev/root rw', ...mounts].join('\n'))
  return readCgroupLayout({ mountinfoFile: path.join(rootDir, 'mountinfo'), rootDir })
}

const V2 = '30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate'
const V1_MEMORY = '31 22 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory'
const V1_FREEZER = '32 22 0:28 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer'
const V1_SYSTEMD = '33 22 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd'
const UNIFIED = '34 22 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw'

describe('how control groups are arranged', () => {
  test('one unified hierarchy with memory and swap is v2', () => {
    put('sys/fs/cgroup/cgroup.controllers', 'cpuset cpu io memory pids\n')
    put('sys/fs/cgroup/system.slice/memory.swap.max', 'max\n')
    expect(layoutOf(V2)).toEqual({
      mode: 'v2',
      memoryController: true,
      swapAccounting: true,
      unifiedMount: path.join(rootDir, 'sys/fs/cgroup'),
      memoryMount: null,
      freezerMount: null,
    })
  })
  test('v2 in a container: the mount is no root and is asked itself; without a memory.swap.max anywhere swap cannot be limited', () => {
    put('sys/fs/cgroup/cgroup.controllers', 'memory\n')
    expect(layoutOf(V2)).toMatchObject({ memoryController: true, swapAccounting: false })
    put('sys/fs/cgroup/memory.swap.max', 'max\n')
    expect(layoutOf(V2)).toMatchObject({ memoryController: true, swapAccounting: true })
  })
  test('a unified hierarchy without the memory controller cannot limit memory', () => {
    put('sys/fs/cgroup/cgroup.controllers', 'cpu pids\n')
    expect(layoutOf(V2)).toMatchObject({ mode: 'v2', memoryController: false, swapAccounting: false })
  })
  test('legacy hierarchies alone are v1', () => {
    put('sys/fs/cgroup/memory/memory.memsw.limit_in_bytes', '0')
    expect(layoutOf(V1_MEMORY, V1_FREEZER, V1_SYSTEMD)).toMatchObject({
      mode: 'v1',
      memoryController: true,
      swapAccounting: true,
      unifiedMount: null,
      freezerMount: path.join(rootDir, 'sys/fs/cgroup/freezer'),
    })
  })
  test('legacy memory beside a unified hierarchy is hybrid, without swap accounting where the kernel has none', () => {
    expect(layoutOf(V1_MEMORY, UNIFIED)).toMatchObject({
      mode: 'hybrid',
      memoryController: true,
      swapAccounting: false,
    })
  })
  test("systemd's own v1 hierarchy beside a unified one is still v2", () => {
    put('sys/fs/cgroup/unified/cgroup.controllers', 'memory')
    expect(layoutOf(V1_SYSTEMD, UNIFIED)).toMatchObject({ mode: 'v2', memoryController: true })
  })
  test('a mount point with a space is read as it is', () => {
    const layout = layoutOf('30 22 0:26 / /a\\040b rw - cgroup2 cgroup2 rw')
    expect(layout.unifiedMount).toBe(path.join(rootDir, 'a b'))
  })
  test('no hierarchy, or no mount table, is none', () => {
    const none = { mode: 'none', memoryController: false, swapAccounting: false }
    expect(layoutOf()).toMatchObject(none)
    expect(readCgroupLayout({ mountinfoFile: '/nonexistent' })).toMatchObject(none)
  })
})

describe('what a container holds in its memory cgroup', () => {
  const stat = 'anon 100\nfile 4000\nshmem 30\ninactive_anon 90\nactive_anon 40\ninactive_file 4000\nunevictable 7\n'
  test('v2: anonymous and unevictable pages, without page cache', () => {
    put('c/memory.stat', stat)
    expect(readHeldBytes({ cgroupV2: path.join(rootDir, 'c'), cgroupMemory: undefined })).toBe(137)
  })
  test('v2: what the kernel holds for it and cannot drop, too', () => {
    const kernel = 'kernel 900\nkernel_stack 1\npagetables 2\nsec_pagetables 4\npercpu 8\nsock 16\nvmalloc 32\n'
    put('k/memory.stat', `${kernel}${stat}slab_reclaimable 500\nslab_unreclaimable 64\nslab 564\n`)
    expect(readHeldBytes({ cgroupV2: path.join(rootDir, 'k'), cgroupMemory: undefined })).toBe(137 + 127)
  })
  test('v1: the same with its child groups, and before a v2 group without memory', () => {
    put('m/memory.stat', `${stat}total_inactive_anon 900\ntotal_active_anon 400\ntotal_unevictable 70\n`)
    expect(readHeldBytes({ cgroupV2: '/nonexistent', cgroupMemory: path.join(rootDir, 'm') })).toBe(1370)
  })
  test('a group that is gone has no figure', () => {
    expect(readHeldBytes({ cgroupV2: '/nonexistent', cgroupMemory: undefined })).toBeUndefined()
    expect(readHeldBytes({ cgroupV2: undefined, cgroupMemory: undefined })).toBeUndefined()
  })
})
