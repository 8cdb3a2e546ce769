import { closeSync, openSync, readSync } from 'node:fs'
import { parseTraceLine, type TraceLine } from './trace-line.js'

/** How often the file is looked at. */
const INTERVAL_MS = 25

/** A line is handed on when it is this old: a process may be interrupted between looking at the clock and writing its line. */
const SETTLED_AFTER_NS = 50_000_000

const CHUNK_BYTES = 1 << 16

/** Takes texts in pieces and gives lines in the order of their clock. */
export interface LineSorter {
  add(text: string): void
  /** The lines that nothing older can still come before. */
  take(nowNs: number): TraceLine[]
  /** All that is left; half a line at the end is no line. */
  takeAll(): TraceLine[]
}

export function createLineSorter(): LineSorter {
  let rest = ''
  let waiting: TraceLine[] = []
  const takeUntil = (ns: number) => {
    // Stable: lines of one moment stay as they were written.
    waiting.sort((a, b) => a.ns - b.ns)
    const first = waiting.findIndex((line) => line.ns > ns)
    const settled = first < 0 ? waiting : waiting.slice(0, first)
    waiting = first < 0 ? [] : waiting.slice(first)
    return settled
  }
  return {
    add(text) {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      waiting.push(...lines.map(parseTraceLine).filter((line) => line !== undefined))
    },
    take: (nowNs) => takeUntil(nowNs - SETTLED_AFTER_NS),
    takeAll: () => takeUntil(Number.POSITIVE_INFINITY),
  }
}

/**
 * Follows a trace while programs write it.
 *
 * @param onLine called for each line, in the order of their clock.
 * @returns a function that reads the rest and ends it.
 */
export function followTrace(file: string, onLine: (line: TraceLine) => void): () => void {
  const fd = openSync(file, 'r')
  const sorter = createLineSorter()
  const chunk = Buffer.alloc(CHUNK_BYTES)
  const read = () => {
    for (;;) {
      const got = readSync(fd, chunk, 0, chunk.length, null)
      if (got === 0) return
      // The shim writes ASCII only, so no character is cut in two.
      sorter.add(chunk.toString('latin1', 0, got))
    }
  }
  const timer = setInterval(() => {
    read()
    // The clock of the lines: process.hrtime is CLOCK_MONOTONIC.
    for (const line of sorter.take(Number(process.hrtime.bigint()))) onLine(line)
  }, INTERVAL_MS)
  return () => {
    clearInterval(timer)
    read()
    closeSync(fd)
    for (const line of sorter.takeAll()) onLine(line)
  }
}
