import { readFileSync } from 'node:fs'
import { ExpectedError } from '../errors.js'

const KIB = 1024

/** Huge pages of the default size; no memory cgroup accounts for them. */
export interface HugePages {
  /** Pages in the pool, surplus pages included, as the kernel counts `HugePages_Total`. */
  readonly total: number
  readonly free: number
  /** Pages beyond the fixed pool, taken on demand (vm.nr_overcommit_hugepages). */
  readonly surplus: number
  readonly pageBytes: number
}

export interface Meminfo {
  /** MemTotal. */
  readonly totalBytes: number
  /** MemFree. */
  readonly freeBytes: number
  /** MemAvailable: what the kernel can hand out without swapping. */
  readonly availableBytes: number
  readonly hugePages: HugePages
}

/**
 * Reads the machine's memory. `withholdBytes` (policy) is taken off total, free and available, never below zero: the
 * machine then looks that much smaller.
 *
 * @throws ExpectedError `MEMINFO_UNREADABLE` when the file is missing or lacks MemTotal, MemFree or MemAvailable.
 */
export function readMeminfo(file = '/proc/meminfo', withholdBytes = 0): Meminfo {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ExpectedError('MEMINFO_UNREADABLE', `cannot read the machine's memory from ${file}: ${reason(cause)}`, {
      cause,
    })
  }
  return parseMeminfo(text, file, withholdBytes)
}

/** Parses the text of /proc/meminfo; `source` names it in errors. See {@link readMeminfo}. */
export function parseMeminfo(text: string, source: string, withholdBytes = 0): Meminfo {
  const values = new Map<string, number>()
  for (const match of text.matchAll(/^(\w+):\s+(\d+)(?: kB)?$/gm)) values.set(match[1] ?? '', Number(match[2]))

  const kib = (key: string): number => {
    const value = values.get(key)
    if (value === undefined) throw new ExpectedError('MEMINFO_UNREADABLE', `${source} has no line ${key}`)
    return Math.max(0, value * KIB - withholdBytes)
  }
  return {
    totalBytes: kib('MemTotal'),
    freeBytes: kib('MemFree'),
    availableBytes: kib('MemAvailable'),
    hugePages: {
      total: values.get('HugePages_Total') ?? 0,
      free: values.get('HugePages_Free') ?? 0,
      surplus: values.get('HugePages_Surp') ?? 0,
      pageBytes: (values.get('Hugepagesize') ?? 0) * KIB,
    },
  }
}

/** Bytes of huge pages that somebody holds; the simulator's driver memory is in here. */
export function hugePagesInUseBytes({ total, free, pageBytes }: HugePages): number {
  return (total - free) * pageBytes
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
