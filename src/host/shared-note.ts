import { spawnSync } from 'node:child_process'
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import * as v from 'valibot'
import { isRunning, type ProcessIdentity, readProcessIdentity } from './process-identity.js'

/** Somebody who uses what a note is about; the last one to go puts it back. */
export const holderSchema = v.object({
  key: v.string(),
  process: v.object({ pid: v.number(), startTicks: v.number() }),
})

export type Holder = v.InferOutput<typeof holderSchema>

/** How long another process may keep a note to itself; it does so for milliseconds. */
const LOCK_PATIENCE_MS = 10_000

/** This process as a holder. */
export function holderOfOurs(key: string): Holder {
  const identity: ProcessIdentity = readProcessIdentity(process.pid) ?? { pid: process.pid, startTicks: 0 }
  return { key, process: identity }
}

/** The holders that still run, less the one with `key`. */
export function othersAmong<H extends Holder>(holders: readonly H[], key: string): H[] {
  return holders.filter((holder) => holder.key !== key && isRunning(holder.process))
}

/** What a note says; undefined where there is none, or none of this shape. */
export function parseSharedNote<N>(text: string, schema: v.GenericSchema<unknown, N>): N | undefined {
  try {
    const result = v.safeParse(schema, JSON.parse(text))
    return result.success ? result.output : undefined
  } catch {
    // Empty: nobody holds it.
    return undefined
  }
}

/**
 * Changes a small file that several processes share, one at a time. `change` gets its text, empty where there is none, and
 * returns the new one; an empty one removes the file.
 *
 * @param file in a directory that only its users can write to: what it says is believed.
 * @throws the error of opening or of `change`, and then nothing is changed.
 */
export function changeSharedNote<T>(file: string, change: (text: string) => { text: string; result: T }): T {
  const fd = openLocked(file)
  let empty = fstatSync(fd).size === 0
  try {
    const { text, result } = change(readFileSync(fd, 'utf8'))
    ftruncateSync(fd, 0)
    writeSync(fd, text, 0)
    empty = text === ''
    return result
  } finally {
    if (empty) unlinkSync(file)
    closeSync(fd)
  }
}

function openLocked(file: string): number {
  for (;;) {
    const fd = openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
    // The lock belongs to the open file, not to the program that takes it: it is ours until we close the file, or die.
    // Without the program flock (util-linux, busybox) two that begin in the same millisecond could miss each other.
    const { status, signal } = spawnSync('flock', ['-x', '3'], {
      stdio: ['ignore', 'ignore', 'ignore', fd],
      timeout: LOCK_PATIENCE_MS,
    })
    if (signal !== null || (status !== null && status !== 0)) {
      closeSync(fd)
      throw new Error(`${file} is locked by another process and stays so`)
    }
    // The one before us may have removed it while we waited.
    if (statSync(file, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) return fd
    closeSync(fd)
  }
}
