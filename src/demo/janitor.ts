import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { ChangedSetting } from '../host/huge-pages.js'
import { type ProcessIdentity, readProcessIdentity } from '../host/process-identity.js'

/** What the janitor is told as it comes into being; `done` at the end of a demo that cleaned up by itself. */
export type JanitorNote =
  | { kind: 'directory'; dir: string }
  | { kind: 'dockerd'; dir: string }
  | { kind: 'process'; process: ProcessIdentity }
  | { kind: 'setting'; setting: ChangedSetting }
  | { kind: 'done' }

export interface Janitor {
  tell(note: JanitorNote): void
  /** Tells it that a process exists that must not outlive the demo. */
  tellProcess(pid: number): void
  dismiss(): void
}

/**
 * Starts a small process that outlives this one and cleans up if it is killed without a chance to do so itself: it waits for
 * the end of its standard input, which the kernel brings about however we die.
 */
export function startJanitor(): Janitor {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./janitor-main.js', import.meta.url))], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  child.on('error', () => {})
  child.stdin.on('error', () => {})
  child.unref()
  const tell = (note: JanitorNote) => {
    child.stdin.write(`${JSON.stringify(note)}\n`)
  }
  return {
    tell,
    tellProcess(pid) {
      const identity = readProcessIdentity(pid)
      if (identity !== undefined) tell({ kind: 'process', process: identity })
    },
    dismiss() {
      tell({ kind: 'done' })
      child.stdin.end()
    },
  }
}
