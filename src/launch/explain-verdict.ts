import { editDistance } from '../edit-distance.js'
import { eventsAbout, type GuardEvent } from '../guard/events.js'
import type { RegistryEntry } from '../guard/registry.js'
import { findTombstone, killOfEvent, newestFirst, type Tombstone } from '../guard/tombstones.js'
import { computeLastBeginning } from './last-beginning.js'
import { EXIT_KILLED } from './tombstone-notice.js'

/** A container as its engine remembers it. */
export interface InspectedContainer {
  readonly id: string
  readonly name: string
  readonly engine: string
  readonly status: string
  readonly running: boolean
  readonly exitCode: number
  readonly oomKilled: boolean
  /** What the engine noted when it could not start it. */
  readonly error: string
  /** ISO 8601; empty where it never started or ended. */
  readonly startedAt: string
  readonly finishedAt: string
  /** Our request, from its label or its environment. */
  readonly request: string | undefined
  /** `--memory`; 0 for none. */
  readonly memoryLimitBytes: number
}

/** Everything that is known about containers, from wherever it could be read. */
export interface Evidence {
  readonly tombstones: readonly Tombstone[]
  readonly events: readonly GuardEvent[]
  readonly registry: readonly RegistryEntry[]
  readonly inspected: InspectedContainer | undefined
  /** Names of containers that engines know, for a person who mistyped. */
  readonly knownNames: readonly string[]
}

/** What happened to a container last, and the kill that something came after. */
export type Verdict = LastOf & { readonly earlierKill?: Tombstone | undefined }

/** `tombstone`, `event`, `container` and `entry` are what it was concluded from. */
type LastOf =
  | {
      readonly kind: 'guard-kill'
      readonly tombstone: Tombstone
      /** The tombstone itself is not there: this is what the event log has of it. */
      readonly fromLog: boolean
      readonly container: InspectedContainer | undefined
    }
  | { readonly kind: 'refused'; readonly event: GuardEvent }
  | { readonly kind: 'kernel-oom'; readonly container: InspectedContainer; readonly entry: GuardEvent | undefined }
  | { readonly kind: 'killed'; readonly container: InspectedContainer }
  | { readonly kind: 'ended'; readonly container: InspectedContainer }
  | { readonly kind: 'not-started'; readonly container: InspectedContainer }
  | {
      readonly kind: 'running'
      readonly entry: RegistryEntry | undefined
      readonly container: InspectedContainer | undefined
    }
  | { readonly kind: 'gone'; readonly event: GuardEvent }
  | { readonly kind: 'unknown'; readonly near: readonly string[] }

/** Concludes what happened to the container that a person names by id, prefix, name or request. Pure. */
export function computeVerdict(who: string, evidence: Evidence): Verdict {
  const { inspected: container } = evidence
  const names = [...new Set([who, ...(container === undefined ? [] : [container.id])])]
  // By its full id, too: a container that the runtime refused has no other name in the log.
  const about = new Set(names.flatMap((name) => eventsAbout(evidence.events, name)))
  const events = evidence.events.filter((event) => about.has(event))
  const refusal = events.findLast((event) => event.type === 'refused')
  // Tombstones go with a reboot, or were never written where /run is full; where there is one it has more, so it comes first.
  const logged = events.map(killOfEvent).filter((kill) => kill !== undefined)
  const kills = newestFirst([...evidence.tombstones, ...logged])
  const tombstone = findFor(names, (name) => findTombstone(kills, name))
  const entry = evidence.registry.find((live) => names.includes(live.id) || live.name === who || live.request === who)

  // A name is used again and again: the newest of what is known about it is what the person asks for.
  const killedAt = tombstone === undefined ? undefined : Date.parse(tombstone.killedAt)
  const refusedAt = refusal === undefined ? undefined : Date.parse(refusal.time)
  const startedAt = container === undefined || container.startedAt === '' ? undefined : Date.parse(container.startedAt)
  const begunAt = computeLastBeginning(evidence.events, about)
  const isNewest = (time: number | undefined, ...others: (number | undefined)[]) =>
    time !== undefined && others.every((other) => other === undefined || time >= other)

  const earlier = { earlierKill: tombstone }
  if (refusal !== undefined && isNewest(refusedAt, killedAt, startedAt, begunAt))
    return { kind: 'refused', event: refusal, ...earlier }
  if (tombstone !== undefined && isNewest(killedAt, startedAt, begunAt))
    return { kind: 'guard-kill', tombstone, fromLog: logged.includes(tombstone), container }
  if (entry !== undefined || container?.running === true) return { kind: 'running', entry, container, ...earlier }
  if (container !== undefined) return { ...judgeDead(container, events), ...earlier }
  const last = events.at(-1)
  if (last !== undefined) return { kind: 'gone', event: last, ...earlier }
  return { kind: 'unknown', near: computeNear(who, evidence) }
}

function judgeDead(container: InspectedContainer, events: readonly GuardEvent[]): Verdict {
  if (container.startedAt === '') return { kind: 'not-started', container }
  if (container.oomKilled) {
    return { kind: 'kernel-oom', container, entry: events.findLast((event) => event.type === 'register') }
  }
  return { kind: container.exitCode === EXIT_KILLED ? 'killed' : 'ended', container }
}

function findFor<T>(names: readonly string[], find: (name: string) => T | undefined): T | undefined {
  for (const name of names) {
    const found = find(name)
    if (found !== undefined) return found
  }
  return undefined
}

const NEAR_LIMIT = 5

/** Known names that begin or contain what was typed, or differ from it by two letters at most. */
function computeNear(who: string, evidence: Evidence): string[] {
  const known = [
    ...evidence.knownNames,
    ...evidence.registry.map((entry) => entry.name ?? entry.id.slice(0, 12)),
    ...evidence.tombstones.map((tombstone) => tombstone.name ?? tombstone.id.slice(0, 12)),
    ...evidence.events.map((event) => event.name || event.id?.slice(0, 12) || ''),
  ].filter((name) => name !== '')
  const typed = who.toLowerCase()
  const distance = (name: string) =>
    typed !== '' && name.toLowerCase().includes(typed) ? 0 : editDistance(typed, name.toLowerCase())
  return [...new Set(known)]
    .map((name) => ({ name, distance: distance(name) }))
    .filter((near) => near.distance <= 2)
    .sort((a, b) => a.distance - b.distance || a.name.localeCompare(b.name))
    .slice(0, NEAR_LIMIT)
    .map((near) => near.name)
}
