import { rmSync } from 'node:fs'
import readline from 'node:readline'
import { sweepDockerd } from '../engines/private-dockerd.js'
import { restoreSetting } from '../host/huge-pages.js'
import { endProcessByIdentity } from '../host/process-identity.js'
import type { JanitorNote } from './janitor.js'

/** A daemon that got SIGTERM needs this long to end its containers. */
const PATIENCE_MS = 15_000

/** Undoes one note; the newest come first, as in an orderly end. */
async function undo(note: JanitorNote): Promise<void> {
  switch (note.kind) {
    case 'process':
      await endProcessByIdentity(note.process, PATIENCE_MS)
      break
    case 'dockerd':
      await sweepDockerd(note.dir)
      break
    case 'directory':
      rmSync(note.dir, { recursive: true, force: true })
      break
    case 'setting':
      restoreSetting(note.setting)
      break
    case 'done':
      break
  }
}

const notes: JanitorNote[] = []
for await (const line of readline.createInterface({ input: process.stdin })) {
  const note = JSON.parse(line) as JanitorNote
  if (note.kind === 'done') process.exit(0)
  notes.unshift(note)
}
for (const note of notes) {
  // What cannot be undone must not keep the rest from being undone, and there is nobody left to tell.
  await undo(note).catch(() => {})
}
