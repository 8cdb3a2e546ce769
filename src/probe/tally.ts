import { isRefusal, type TraceLine } from './trace-line.js'

/** Memory as a call told it to the program. */
export interface Told {
  /** The function, or the file. */
  readonly from: string
  readonly freeBytes: number | null
  readonly totalBytes: number | null
}

/** All calls of one function, added up. */
export interface CallTally {
  readonly layer: string
  readonly call: string
  times: number
  /** Answered by the shim in the place of the driver or the system. */
  byShim: number
  /** Sum of what was asked for and granted. */
  grantedBytes: number
  granted: number
  largestBytes: number
  refused: number
  refusedBytes: number
  /** Failed for another reason than memory. */
  failed: number
}

/** A trace added up; a program may make millions of calls, so the lines themselves are not kept. */
export interface Tally {
  readonly calls: CallTally[]
  readonly processes: number
  /** Libraries of the driver that were asked for by dlopen. */
  readonly libraries: readonly string[]
  /** Functions of the driver that were looked up by cuGetProcAddress. */
  readonly lookedUp: number
  /** By layer: the first and the last answer about memory. */
  readonly told: Readonly<Record<string, { readonly first: Told; readonly last: Told } | undefined>>
  /** What it had asked, in order, when it took memory for the first time (or, if it never did, at its end). */
  readonly askedFirst: readonly Told[]
  readonly firstRefusal: TraceLine | undefined
}

export interface Tallier {
  add(line: TraceLine): void
  tally(): Tally
}

/** The layer `cuda` is told apart: calls that tell of memory, and those that take it. */
export function createTallier(): Tallier {
  const calls = new Map<string, CallTally>()
  const processes = new Set<number>()
  const libraries = new Set<string>()
  const lookedUp = new Set<string>()
  const told: Record<string, { first: Told; last: Told }> = {}
  const askedFirst = new Map<string, Told>()
  let firstRefusal: TraceLine | undefined
  let hasTaken = false

  return {
    add(line) {
      processes.add(line.pid)
      if (line.layer === 'loader' && line.detail !== undefined)
        (line.call.startsWith('cuGetProcAddress') ? lookedUp : libraries).add(line.detail)
      addCall(calls, line)
      if (isRefusal(line)) firstRefusal ??= line
      if (takesMemory(line)) hasTaken = true
      const answer = toldBy(line)
      if (answer === undefined) return
      told[line.layer] = { first: told[line.layer]?.first ?? answer, last: answer }
      if (!hasTaken && !askedFirst.has(answer.from)) askedFirst.set(answer.from, answer)
    },
    tally: () => ({
      calls: [...calls.values()],
      processes: processes.size,
      libraries: [...libraries],
      lookedUp: lookedUp.size,
      told,
      askedFirst: [...askedFirst.values()],
      firstRefusal,
    }),
  }
}

function addCall(calls: Map<string, CallTally>, line: TraceLine): void {
  const key = `${line.layer} ${line.call}`
  const tally = calls.get(key) ?? {
    ...{ layer: line.layer, call: line.call, times: 0, byShim: 0, granted: 0, grantedBytes: 0, largestBytes: 0 },
    ...{ refused: 0, refusedBytes: 0, failed: 0 },
  }
  calls.set(key, tally)
  tally.times += 1
  if (line.by === 'shim') tally.byShim += 1
  if (isRefusal(line)) {
    tally.refused += 1
    tally.refusedBytes += line.bytes ?? 0
  } else if (line.result !== undefined && line.result !== 0) {
    tally.failed += 1
  } else if (takesMemory(line)) {
    tally.granted += 1
    tally.grantedBytes += line.bytes ?? 0
    tally.largestBytes = Math.max(tally.largestBytes, line.bytes ?? 0)
  }
}

/** A call of the driver with a size asks for memory; those that free have none. */
function takesMemory({ layer, bytes }: TraceLine): boolean {
  return layer === 'cuda' && bytes !== undefined
}

function toldBy({ layer, call, detail, freeBytes, totalBytes }: TraceLine): Told | undefined {
  if (freeBytes === undefined && totalBytes === undefined) return undefined
  return { from: (layer === 'host' && detail) || call, freeBytes: freeBytes ?? null, totalBytes: totalBytes ?? null }
}
