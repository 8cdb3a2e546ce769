import * as v from 'valibot'

const bytes = v.pipe(v.number(), v.minValue(0))

const schema = v.object({
  v: v.literal(1),
  /** CLOCK_MONOTONIC. */
  ns: v.number(),
  pid: v.number(),
  layer: v.string(),
  call: v.string(),
  /** `shim` where it answered in the place of the driver or the system. */
  by: v.string(),
  /** What was asked for. */
  bytes: v.optional(bytes),
  /** As told to the caller. */
  freeBytes: v.optional(bytes),
  totalBytes: v.optional(bytes),
  budgetBytes: v.optional(bytes),
  /** What was left of the budget after the call. */
  leftBytes: v.optional(bytes),
  /** The function's return code. */
  result: v.optional(v.number()),
  /** The path or the name that was asked for. */
  detail: v.optional(v.string()),
})

/** One call that the shim saw: docs/formats.md section 13. */
export type TraceLine = v.InferOutput<typeof schema>

/** Parses one line of a trace; undefined for anything else. Fields that we do not know are skipped. */
export function parseTraceLine(text: string): TraceLine | undefined {
  try {
    const result = v.safeParse(schema, JSON.parse(text))
    return result.success ? result.output : undefined
  } catch {
    return undefined
  }
}

/** CUDA's number for "out of memory"; also what the shim answers over the budget. */
const CUDA_ERROR_OUT_OF_MEMORY = 2

/** True for a request that was turned down for want of memory, by whomever. */
export function isRefusal(line: TraceLine): boolean {
  return line.layer === 'cuda' && line.result === CUDA_ERROR_OUT_OF_MEMORY
}
