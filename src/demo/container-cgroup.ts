import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { readCgroupLayout } from '../host/cgroup.js'

/** The files that tell who is in a memory cgroup and what it is charged with, now and at most. */
export interface MemoryCgroupFiles {
  procsFile: string
  currentFile: string
  /** Missing on cgroup v2 before Linux 5.19. */
  peakFile: string | undefined
}

/** Where the memory cgroup of a process tells its charge; undefined when the process is gone or no hierarchy has memory. */
export function findMemoryCgroup(pid: number): MemoryCgroupFiles | undefined {
  const { memoryMount, unifiedMount } = readCgroupLayout()
  const lines = readLines(`/proc/${pid}/cgroup`).map((line) => line.split(':'))
  if (memoryMount !== null) {
    const group = lines.find(([, controllers]) => controllers?.split(',').includes('memory'))?.[2]
    if (group === undefined) return undefined
    const dir = path.join(memoryMount, group)
    return {
      procsFile: path.join(dir, 'cgroup.procs'),
      currentFile: path.join(dir, 'memory.usage_in_bytes'),
      peakFile: path.join(dir, 'memory.max_usage_in_bytes'),
    }
  }
  const group = lines.find(([hierarchy]) => hierarchy === '0')?.[2]
  if (unifiedMount === null || group === undefined) return undefined
  const dir = path.join(unifiedMount, group)
  const peakFile = path.join(dir, 'memory.peak')
  return {
    procsFile: path.join(dir, 'cgroup.procs'),
    currentFile: path.join(dir, 'memory.current'),
    peakFile: existsSync(peakFile) ? peakFile : undefined,
  }
}

function readLines(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n')
  } catch {
    return []
  }
}
