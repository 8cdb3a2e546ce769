import { readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A process that cannot be mistaken for a later one with the same number. */
export interface ProcessIdentity {
  readonly pid: number
  /** Field 22 of /proc/<pid>/stat: start time in clock ticks since boot. */
  readonly startTicks: number
}

/** Identity of the process `pid` as it is now, or undefined when there is none. */
export function readProcessIdentity(pid: number, procDir = '/proc'): ProcessIdentity | undefined {
  const stat = readStat(pid, procDir)
  // A zombie has ended: it only waits for its parent to ask.
  if (stat === undefined || stat[0] === 'Z') return undefined
  return { pid, startTicks: Number(stat[19]) }
}

/** True while exactly this process runs. */
export function isRunning(process: ProcessIdentity, procDir = '/proc'): boolean {
  return readProcessIdentity(process.pid, procDir)?.startTicks === process.startTicks
}

/**
 * Ends a process: SIGTERM, and SIGKILL for one that is still there after `patienceMs`. A process that is gone, or whose
 * number belongs to another one by now, is left alone.
 *
 * @returns false when it could not be ended within `patienceMs` after SIGKILL.
 */
export async function endProcessByIdentity(target: ProcessIdentity, patienceMs = 5_000): Promise<boolean> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (!isRunning(target)) return true
    try {
      process.kill(target.pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return true
      throw error
    }
    const deadline = Date.now() + patienceMs
    while (Date.now() < deadline) {
      if (!isRunning(target)) return true
      await sleep(20)
    }
  }
  return !isRunning(target)
}

/** Fields of /proc/<pid>/stat from the state on; the command name before it may hold spaces and parentheses. */
function readStat(pid: number, procDir: string): string[] | undefined {
  try {
    const text = readFileSync(path.join(procDir, String(pid), 'stat'), 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}
