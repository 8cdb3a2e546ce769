import { type GuardEvent, readEvents } from '../guard/events.js'
import { filterLive, type RegistryEntry, readRegistry } from '../guard/registry.js'
import { killOfEvent, readTombstones, type Tombstone } from '../guard/tombstones.js'
import { type CgroupMode, readCgroupLayout } from './cgroup.js'
import { readHeldBytes } from './cgroup-memory.js'
import { type GuardPresence, readGuardPresence } from './guard-presence.js'
import { readLedgerHeader } from './ledger.js'
import { readMeminfo } from './meminfo.js'
import type { HostPaths } from './paths.js'

/** One live container and its use, for people and for `--json`. */
export interface ContainerStatus {
  readonly id: string
  readonly name: string | null
  readonly engine: string
  readonly priority: number
  readonly budgetBytes: number
  /** Driver memory by the container's own ledger; null without one. */
  readonly driverBytes: number | null
  /** What its memory cgroup holds and cannot drop; null where that cannot be read. */
  readonly cgroupBytes: number | null
  readonly peakDriverBytes: number | null
  /** Allocations that were refused with an out-of-memory error. */
  readonly refusedCount: number | null
}

/** The machine, who watches it, and what its containers hold. All sizes are bytes. */
export interface Status {
  readonly schemaVersion: 1
  readonly machine: {
    readonly memTotalBytes: number
    readonly memAvailableBytes: number
    readonly withholdBytes: number
    readonly reserveBytes: number
    /** What a new container could be given. */
    readonly leftBytes: number
    readonly cgroup: CgroupMode
  }
  readonly guard: GuardPresence
  readonly containers: readonly ContainerStatus[]
  /** Names in the registry that are no valid entries: nobody is held by them, the guard ignores them. */
  readonly invalidRegistryFiles: readonly string[]
  /** In the event log as far back as it is read; kills that it lacks are known by their tombstones, as in `explain`. */
  readonly counts: { readonly kills: number; readonly refusals: number; readonly warnings: number }
}

export interface StatusInput {
  readonly paths: HostPaths
  readonly reserveBytes: number
  readonly withholdBytes: number
  readonly meminfoFile?: string
  readonly procDir?: string
}

/** Looks at everything once. Reads only; needs no engine and no root. */
export async function readStatus(input: StatusInput): Promise<Status> {
  const { paths, procDir = '/proc' } = input
  const guard = readGuardPresence(paths, procDir)
  // A guard that runs keeps what it was started with.
  const { reserveBytes, withholdBytes } = guard.state ?? input
  const [registry, events, tombstones] = await Promise.all([
    readRegistry(paths.registryDir),
    readEvents(paths.eventsFile),
    readTombstones(paths.tombstoneDir),
  ])
  const registered = await filterLive(registry.entries, procDir)
  const memory = readMeminfo(input.meminfoFile ?? `${procDir}/meminfo`, withholdBytes)
  // A container may raise the host's reserve while it lives.
  const reserve = Math.max(reserveBytes, ...registered.map((entry) => entry.reserveBytes))
  const promised = registered.reduce((sum, entry) => sum + entry.budgetBytes, 0)
  return {
    schemaVersion: 1,
    machine: {
      memTotalBytes: memory.totalBytes,
      memAvailableBytes: memory.availableBytes,
      withholdBytes,
      reserveBytes: reserve,
      leftBytes: Math.max(0, memory.totalBytes - reserve - promised),
      cgroup: readCgroupLayout({ mountinfoFile: `${procDir}/self/mountinfo` }).mode,
    },
    guard,
    containers: registered.map(containerStatus),
    invalidRegistryFiles: registry.invalid,
    counts: {
      kills: countKills(events, tombstones),
      refusals: count(events, 'refused'),
      warnings: count(events, 'warning'),
    },
  }
}

function containerStatus(entry: RegistryEntry): ContainerStatus {
  const ledger = entry.ledger === undefined ? undefined : readLedgerHeader(entry.ledger)
  return {
    id: entry.id,
    name: entry.name ?? null,
    engine: entry.engine,
    priority: entry.priority,
    budgetBytes: entry.budgetBytes,
    driverBytes: ledger?.usedBytes ?? null,
    cgroupBytes: readHeldBytes(entry) ?? null,
    peakDriverBytes: ledger?.peakBytes ?? null,
    refusedCount: ledger?.refusedCount ?? null,
  }
}

/** Each once, though it has an event, perhaps twice where a guard went on from a dead one's kill, and a tombstone. */
function countKills(events: readonly GuardEvent[], tombstones: readonly Tombstone[]): number {
  const kills = events.filter((event) => event.type === 'kill').map((event) => killOfEvent(event) ?? event)
  const keys = [...kills, ...tombstones].map((kill) => ('killedAt' in kill ? `${kill.id} ${kill.killedAt}` : kill))
  return new Set(keys).size
}

function count(events: readonly GuardEvent[], type: string): number {
  return events.filter((event) => event.type === type).length
}
