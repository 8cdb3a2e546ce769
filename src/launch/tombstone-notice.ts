import { setTimeout as sleep } from 'node:timers/promises'
import type { Tombstone } from '../guard/tombstones.js'
import { formatBytes } from '../plan/size.js'

/** What a container's exit looks like when something killed it: 128 + SIGKILL. */
export const EXIT_KILLED = 137

// The guard writes its record once the cgroup is empty, which is about when the engine sees the exit.
const PATIENCE_MS = 1_500
const INTERVAL_MS = 100

/** Where tombstones are read from: this host's directory, or the guard container of some engine. */
export type TombstoneSource = () => Promise<readonly Tombstone[]>

/** Looks for the record of the container with this request for a moment; undefined where the guard did not kill it. */
export async function awaitTombstone(
  source: TombstoneSource,
  request: string,
  patienceMs = PATIENCE_MS,
): Promise<Tombstone | undefined> {
  const deadline = Date.now() + patienceMs
  for (;;) {
    const found = (await source()).find((tombstone) => tombstone.request === request)
    if (found !== undefined || Date.now() >= deadline) return found
    await sleep(INTERVAL_MS)
  }
}

/**
 * What the person at the terminal is told after a kill, in one line: who and why in the guard's words, then what to do.
 *
 * @param name the name the person gave the container, if any.
 */
export function computeKillNotice(tombstone: Tombstone, name: string | undefined): string {
  const who = name ?? tombstone.name ?? tombstone.id.slice(0, 12)
  return `${tombstone.sentence.replace(/[.\s]+$/, '')}; ${computeRemedy(tombstone)}; spark-run explain ${who} tells the rest`
}

/** How to give the container more, which depends on whether it broke its budget or the host ran short around it. */
export function computeRemedy({ use, budgetBytes, rule }: Pick<Tombstone, 'use' | 'budgetBytes' | 'rule'>): string {
  if (rule === 'on-foreign-largest')
    return 'the memory went to processes outside the containers, so see who is large (ps aux --sort=-rss | head) and stop that; with onForeign: nothing in the policy no container dies for it'
  return use.driverBytes + use.cgroupBytes > budgetBytes
    ? `to give it more, start it with a larger budget than ${formatBytes(budgetBytes)}: spark-run --budget SIZE docker run …`
    : 'as far as could be counted it was inside its budget, so give the host room first: stop something else, or make its engine take less'
}
