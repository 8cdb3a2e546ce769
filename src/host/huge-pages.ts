import { randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import * as v from 'valibot'
import type { HugePages } from './meminfo.js'
import { changeSharedNote, holderOfOurs, holderSchema, othersAmong, parseSharedNote } from './shared-note.js'

/** Where the setting is, and where those who raised it remember together what it was. */
interface OvercommitPlaces {
  file: string
  noteFile: string
}

const HOST_PLACES: OvercommitPlaces = {
  file: '/proc/sys/vm/nr_overcommit_hugepages',
  noteFile: '/run/spark-run-huge-pages.json',
}

/** A kernel setting that is held up by us, maybe together with others. */
export interface ChangedSetting extends OvercommitPlaces {
  key: string
}

const noteSchema = v.object({
  /** What the setting was before the first of the holders came. */
  before: v.string(),
  /** What we made of it. */
  ours: v.string(),
  holders: v.array(v.object({ ...holderSchema.entries, pages: v.number() })),
})

type Note = v.InferOutput<typeof noteSchema>

/** Pages of `nr_overcommit_hugepages` that let `bytes` be taken beyond what is in use now. */
export function computeOvercommit(pages: HugePages, bytes: number): number {
  if (pages.pageBytes === 0) return 0
  return pages.surplus + Math.ceil(bytes / pages.pageBytes)
}

/**
 * Raises the number of huge pages that may be taken on demand, where it is too low for us and for all who hold it already.
 *
 * @returns what {@link restoreSetting} needs, or undefined where it is high enough and not ours to change.
 * @throws the error of writing, where it is too low and we may not.
 */
export function raiseOvercommit(wantedPages: number, places = HOST_PLACES): ChangedSetting | undefined {
  const key = randomUUID()
  const current = () => readFileSync(places.file, 'utf8').trim()
  try {
    return changeSharedNote(places.noteFile, (text) => {
      const now = current()
      const known = parseSharedNote(text, noteSchema)
      const holders = [...othersAmong(known?.holders ?? [], key), { ...holderOfOurs(key), pages: wantedPages }]
      const before = known?.ours === now ? known.before : now
      const wantedByAll = holders.reduce((sum, holder) => sum + holder.pages, 0)
      if (Number(now) < wantedByAll) writeFileSync(places.file, String(wantedByAll))
      return { text: JSON.stringify({ before, ours: current(), holders } satisfies Note), result: { ...places, key } }
    })
  } catch (error) {
    if (Number(current()) >= wantedPages) return undefined
    throw error
  }
}

/** Puts a setting back once nobody holds it any more, unless somebody else has changed it since. */
export function restoreSetting({ file, noteFile, key }: ChangedSetting): void {
  changeSharedNote(noteFile, (text) => {
    const known = parseSharedNote(text, noteSchema)
    if (known === undefined) return { text: '', result: undefined }
    const holders = othersAmong(known.holders, key)
    if (holders.length > 0) {
      // What the others need stays; what only we needed does not.
      const wantedByOthers = holders.reduce((sum, holder) => sum + holder.pages, 0)
      const lowered = String(Math.max(wantedByOthers, Number(known.before)))
      if (readFileSync(file, 'utf8').trim() === known.ours && lowered !== known.ours) writeFileSync(file, lowered)
      const ours = readFileSync(file, 'utf8').trim()
      return { text: JSON.stringify({ ...known, ours, holders } satisfies Note), result: undefined }
    }
    if (readFileSync(file, 'utf8').trim() === known.ours && known.before !== known.ours)
      writeFileSync(file, known.before)
    return { text: '', result: undefined }
  })
}
