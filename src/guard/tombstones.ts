import path from 'node:path'
import * as v from 'valibot'
import { readSmallFile } from '../host/regular-file.js'
import { parseJson } from '../parse-json.js'
import type { GuardEvent } from './events.js'
import { listIfPresent } from './registry.js'

/** The guard's own records, with their samples, come to some ten kilobytes. */
const TOMBSTONE_MAX_BYTES = 1024 * 1024

const count = v.pipe(v.number(), v.safeInteger())
const optionalText = v.optional(v.nullable(v.string()), null)

const tombstoneSchema = v.object({
  schemaVersion: v.literal(1),
  id: v.string(),
  name: optionalText,
  request: optionalText,
  engine: v.optional(v.string(), 'unknown'),
  killedAt: v.string(),
  reason: v.string(),
  rule: v.optional(v.string(), ''),
  kills: v.optional(count, 1),
  sentence: v.string(),
  reserveBytes: count,
  memAvailableBytes: count,
  slopeBytesPerSecond: v.number(),
  psiFullAvg10Permille: v.optional(v.nullable(v.number()), null),
  budgetBytes: count,
  priority: v.optional(count, 0),
  use: v.object({ driverBytes: count, cgroupBytes: count }),
  killToEmptyMs: v.optional(v.nullable(v.number()), null),
  samples: v.optional(v.array(v.object({ ms: v.number(), availableBytes: count })), []),
})

/** The guard's record of one kill (formats.md section 8). `name` and `request` are null where the container had none. */
export type Tombstone = v.InferOutput<typeof tombstoneSchema>

/** Reads one tombstone; undefined for anything that is not a complete one of a version we know. */
export function parseTombstone(text: string): Tombstone | undefined {
  const tombstone = parseJson(text, tombstoneSchema)
  return tombstone === undefined ? undefined : withoutEmptyNames(tombstone)
}

/** The same record from the event log, as it was known at the kill: without samples. Undefined for any other event. */
export function killOfEvent(event: GuardEvent): Tombstone | undefined {
  if (event.type !== 'kill') return undefined
  const { success, output } = v.safeParse(tombstoneSchema, event)
  return success ? withoutEmptyNames(output) : undefined
}

function withoutEmptyNames(tombstone: Tombstone): Tombstone {
  return { ...tombstone, name: tombstone.name || null, request: tombstone.request || null }
}

/**
 * Every readable tombstone, newest kill first.
 *
 * @param tombstoneDir `<runDir>/tombstones`; a missing directory holds none.
 */
export async function readTombstones(tombstoneDir: string): Promise<Tombstone[]> {
  const names = await listIfPresent(tombstoneDir)
  const files = names.filter((name) => name.endsWith('.json') && !name.startsWith('.'))
  const found = await Promise.all(files.map((name) => readTombstone(path.join(tombstoneDir, name))))
  return newestFirst(found.filter((tombstone) => tombstone !== undefined))
}

export function newestFirst(kills: readonly Tombstone[]): Tombstone[] {
  return [...kills].sort((a, b) => b.killedAt.localeCompare(a.killedAt))
}

/** The tombstone in `file`, or undefined where there is none or it cannot be understood. */
async function readTombstone(file: string): Promise<Tombstone | undefined> {
  const text = await readSmallFile(file, TOMBSTONE_MAX_BYTES)
  return text === undefined ? undefined : parseTombstone(text)
}

/** The newest kill of the container that a person means by its id, a prefix of it (6 letters or more), its name or its request. */
export function findTombstone(tombstones: readonly Tombstone[], who: string): Tombstone | undefined {
  return (
    tombstones.find((stone) => stone.id === who || stone.request === who) ??
    tombstones.find((stone) => stone.name === who) ??
    (who.length >= 6 ? tombstones.find((stone) => stone.id.startsWith(who)) : undefined)
  )
}
