import * as v from 'valibot'

const bytes = v.pipe(v.number(), v.minValue(0))

/** What the engines of `images/` print with `--json`, one object a line. */
const lineSchema = v.variant('event', [
  v.object({ event: v.literal('saw'), totalBytes: bytes, freeBytes: bytes }),
  v.object({ event: v.literal('got'), bytes, heldBytes: bytes }),
  v.object({
    event: v.literal('refused'),
    bytes,
    error: v.optional(v.union([v.number(), v.string()])),
    name: v.optional(v.string()),
  }),
  v.object({ event: v.literal('done'), bytes: v.optional(bytes) }),
])

/** What an engine told about itself. */
export interface EngineTalk {
  saw: { totalBytes: number; freeBytes: number } | null
  heldBytes: number
  refusals: number
  /** The driver's own name of the last refusal, for example CUDA_ERROR_OUT_OF_MEMORY. */
  refusedWith: string | undefined
  done: boolean
}

/** Reads what an engine printed; lines that are not its own (of launchers, of libraries) are passed over. */
export function parseEngineTalk(output: string): EngineTalk {
  const talk: EngineTalk = { saw: null, heldBytes: 0, refusals: 0, refusedWith: undefined, done: false }
  for (const text of output.split('\n')) {
    const line = parseLine(text.trim())
    switch (line?.event) {
      case 'saw':
        talk.saw ??= { totalBytes: line.totalBytes, freeBytes: line.freeBytes }
        break
      case 'got':
        talk.heldBytes = line.heldBytes
        break
      case 'refused':
        talk.refusals += 1
        talk.refusedWith = line.name ?? talk.refusedWith
        break
      case 'done':
        talk.done = true
        break
    }
  }
  return talk
}

/** What an engine printed besides its events, for a reader who wants to know why it failed. */
export function otherWords(output: string): string[] {
  return output.split('\n').filter((text) => text.trim() !== '' && parseLine(text.trim()) === undefined)
}

function parseLine(text: string): v.InferOutput<typeof lineSchema> | undefined {
  if (!text.startsWith('{')) return undefined
  try {
    const result = v.safeParse(lineSchema, JSON.parse(text))
    return result.success ? result.output : undefined
  } catch {
    // A line that is still being written.
    return undefined
  }
}
