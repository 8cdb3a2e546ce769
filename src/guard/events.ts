import * as v from 'valibot'
import { openRegularFile } from '../host/regular-file.js'
import { parseJson } from '../parse-json.js'

/** How much of the end of the event log is read unless told otherwise: some 20,000 events. */
const DEFAULT_TAIL_BYTES = 8 * 1024 * 1024

const optionalText = v.optional(v.nullable(v.string()))

const eventSchema = v.looseObject({
  schemaVersion: v.literal(1),
  time: v.string(),
  type: v.string(),
  id: optionalText,
  name: optionalText,
  request: optionalText,
  sentence: optionalText,
})

/**
 * One line of `events.jsonl` (formats.md section 8). What is common to all types is typed; the rest, which differs by
 * `type`, is kept as it was written.
 */
export type GuardEvent = v.InferOutput<typeof eventSchema>

/** Reads one line of the log; undefined for a torn or foreign one. */
export function parseEvent(line: string): GuardEvent | undefined {
  return parseJson(line, eventSchema)
}

/** All events in a text of JSON lines, oldest first; lines that are not events are skipped. */
function parseEvents(text: string): GuardEvent[] {
  return text
    .split('\n')
    .map(parseEvent)
    .filter((event) => event !== undefined)
}

/**
 * The newest events of a log, oldest first.
 *
 * @param file `<logDir>/events.jsonl`; a missing file holds none.
 * @param maxBytes how much of the file's end to read.
 */
export async function readEvents(file: string, maxBytes = DEFAULT_TAIL_BYTES): Promise<GuardEvent[]> {
  const handle = await openRegularFile(file)
  if (handle === undefined) return []
  try {
    const { size } = await handle.stat()
    const start = Math.max(0, size - maxBytes)
    const buffer = Buffer.alloc(size - start)
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, start)
    // A tail that begins inside a line gives a fragment, which parseEvents drops because it is no JSON object.
    return parseEvents(buffer.toString('utf8', 0, bytesRead))
  } finally {
    await handle.close()
  }
}

/** The events about the container that a person means by its id, a prefix of it (6 letters or more), its name or its request. */
export function eventsAbout(events: readonly GuardEvent[], who: string): GuardEvent[] {
  return events.filter(
    (event) =>
      event.id === who ||
      event.request === who ||
      event.name === who ||
      (who.length >= 6 && event.id?.startsWith(who) === true),
  )
}
