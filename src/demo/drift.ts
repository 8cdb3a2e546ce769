/** What programs that are not of the scene did to the machine's memory meanwhile. */
export interface Drift {
  /** The most that was taken beyond what the scene's engines account for. */
  othersTookBytes: number
  /** The most that was there beyond what there should have been. */
  othersGaveBackBytes: number
}

/** Less than this is the noise of a machine: page cache, a shell, the programs of the demo itself. */
const NOISE_BYTES = 256 * 1024 ** 2

/** On a small machine less than that already decides a scene: the first one goes 15 % of it under the reserve. */
const DECISIVE_SHARE = 1 / 8

/** From how much on it matters what others moved. */
export function notableDriftBytes(sizeBytes: number): number {
  return Math.min(NOISE_BYTES, sizeBytes * DECISIVE_SHARE)
}

/** Pages of an engine that has just ended are nobody's for a moment; what lasts for less than this is not drift. */
const LASTING_MS = 600

/** Follows the part of the memory that nobody in the scene accounts for. */
export interface DriftMeter {
  /** One look: positive bytes are missing, negative ones are there too many. */
  add(ms: number, unaccountedBytes: number): void
  read(): Drift
}

export function createDriftMeter(): DriftMeter {
  const window: { ms: number; bytes: number }[] = []
  const drift: Drift = { othersTookBytes: 0, othersGaveBackBytes: 0 }
  return {
    add(ms, bytes) {
      window.push({ ms, bytes })
      // The window keeps one look that is old enough, so that it always spans the whole time.
      while (window[1] !== undefined && ms - window[1].ms >= LASTING_MS) window.shift()
      if (ms - (window[0]?.ms ?? ms) < LASTING_MS) return
      const all = window.map((look) => look.bytes)
      drift.othersTookBytes = Math.max(drift.othersTookBytes, Math.min(...all))
      drift.othersGaveBackBytes = Math.max(drift.othersGaveBackBytes, -Math.max(...all))
    },
    read: () => ({ ...drift }),
  }
}

/** True when others moved so much that what a scene measured may be their doing. */
export function isNotable({ othersTookBytes, othersGaveBackBytes }: Drift, sizeBytes: number): boolean {
  return Math.max(othersTookBytes, othersGaveBackBytes) >= notableDriftBytes(sizeBytes)
}
