import type { LedgerHeader } from '../host/ledger.js'
import { formatBytes } from '../plan/size.js'
import type { HostObservation } from './observer.js'
import type { HeldSizes } from './sizes.js'
import type { CallTally, Tally, Told } from './tally.js'

/** One of the seven layers between an engine and the memory, and what passed through it. */
export interface Layer {
  readonly number: number
  readonly name: string
  /** `no`: nothing of it can be seen from outside the program; `partly`: what it was told, not what it made of it. */
  readonly observable: 'yes' | 'partly' | 'no'
  readonly told: { readonly first: Told; readonly last: Told } | null
  readonly calls: readonly { readonly call: string; readonly times: number; readonly byShim: number }[]
  readonly refused: number
  /** What was seen, in words. */
  readonly seen: string
}

/** What one function that takes memory was asked for. */
interface Allocation {
  readonly call: string
  readonly granted: number
  readonly grantedBytes: number
  readonly largestBytes: number
  readonly refused: number
  readonly refusedBytes: number
  readonly failed: number
}

/** The answer of `spark-run probe`, for people and for `--json`. */
export interface ProbeReport {
  readonly schemaVersion: 1
  readonly command: readonly string[]
  readonly exitCode: number
  readonly budgetBytes: number
  /** False: nobody asked for one, and the machine's whole memory stood for it. */
  readonly budgetGiven: boolean
  readonly reserveBytes: number
  readonly simBytes: number | null
  /** Processes that made a call which the shim hooks. */
  readonly processes: number
  readonly libraries: readonly string[]
  readonly layers: readonly Layer[]
  readonly allocations: readonly Allocation[]
  readonly ledger: { readonly peakBytes: number; readonly usedAtEndBytes: number; readonly refused: number } | null
  readonly host: HostObservation
  /** The whole of it in words. */
  readonly verdict: string
}

export interface ProbeFacts {
  readonly command: readonly string[]
  readonly exitCode: number
  readonly sizes: HeldSizes
  readonly tally: Tally
  readonly ledger: LedgerHeader | undefined
  readonly host: HostObservation
}

/** Puts what was seen into the seven layers. Pure. */
export function computeProbeReport({ command, exitCode, sizes, tally, ledger, host }: ProbeFacts): ProbeReport {
  const allocations = tally.calls.filter(isAllocation).map((each) => ({
    ...{ call: each.call, granted: each.granted, grantedBytes: each.grantedBytes, largestBytes: each.largestBytes },
    ...{ refused: each.refused, refusedBytes: each.refusedBytes, failed: each.failed },
  }))
  const report = {
    schemaVersion: 1 as const,
    ...{ command, exitCode, budgetBytes: sizes.budgetBytes, budgetGiven: sizes.budgetGiven },
    ...{ reserveBytes: sizes.reserveBytes, simBytes: sizes.simBytes ?? null },
    ...{ processes: tally.processes, libraries: tally.libraries },
    layers: computeLayers(tally, ledger, host, allocations),
    allocations,
    ledger:
      ledger === undefined
        ? null
        : { peakBytes: ledger.peakBytes, usedAtEndBytes: ledger.usedBytes, refused: ledger.refusedCount },
    host,
  }
  return { ...report, verdict: verdictOf(tally, report) }
}

function computeLayers(
  tally: Tally,
  ledger: LedgerHeader | undefined,
  host: HostObservation,
  allocations: readonly Allocation[],
): Layer[] {
  const cudaReports = tally.calls.filter((each) => each.layer === 'cuda' && isReport(each.call))
  const layer = (number: number, name: string, rest: Partial<Layer> & { seen: string }): Layer => ({
    ...{ number, name, observable: 'yes', told: null, calls: [], refused: 0 },
    ...rest,
  })
  const ofLayer = (name: string) => ({
    told: tally.told[name] ?? null,
    calls: callsOf(tally.calls.filter((each) => each.layer === name)),
  })
  const refused = allocations.reduce((sum, each) => sum + each.refused, 0)
  return [
    layer(1, 'NVML', { ...ofLayer('nvml'), seen: toldWords(tally.told.nvml, 'not asked for memory') }),
    layer(2, "engine's own estimate", {
      ...ofLayer('host'),
      observable: 'partly',
      seen: `${toldWords(tally.told.host, "did not read the machine's memory")}; what it computes is not visible from outside`,
    }),
    layer(3, "engine's own stats", {
      observable: 'no',
      seen: 'not visible from outside: only the program can print it (Device.stats of MAX)',
    }),
    layer(4, 'cudaMemGetInfo', {
      observable: 'partly',
      calls: callsOf(tally.calls.filter((each) => each.call.startsWith('cuGetProcAddress'))),
      seen:
        tally.lookedUp === 0
          ? 'no CUDA runtime looked for driver functions; it would arrive in layer 5'
          : `${plural(tally.lookedUp, 'driver function')} looked up, as a CUDA runtime does; it asks layer 5`,
    }),
    layer(5, 'cuMemGetInfo_v2', {
      told: tally.told.cuda ?? null,
      calls: callsOf(cudaReports),
      seen: toldWords(tally.told.cuda, 'not asked for memory'),
    }),
    layer(6, 'cgroup', { seen: cgroupWords(host) }),
    layer(7, 'driver memory', {
      calls: allocations.map((each) => ({
        call: each.call,
        times: each.granted + each.refused + each.failed,
        byShim: 0,
      })),
      refused,
      seen: driverWords(ledger, host),
    }),
  ]
}

function isAllocation(each: CallTally): boolean {
  return each.layer === 'cuda' && each.granted + each.refused > 0 && !isReport(each.call)
}

function isReport(call: string): boolean {
  return call.startsWith('cuMemGetInfo') || call.startsWith('cuDeviceTotalMem')
}

function callsOf(calls: readonly CallTally[]): Layer['calls'] {
  return calls.map(({ call, times, byShim }) => ({ call, times, byShim }))
}

function toldWords(told: { first: Told; last: Told } | undefined, otherwise: string): string {
  if (told === undefined) return otherwise
  const first = roomWords(told.first)
  const last = roomWords(told.last)
  return first === last ? first : `${first}, at last ${last}`
}

function roomWords({ freeBytes, totalBytes }: Told): string {
  const total = totalBytes === null ? undefined : formatBytes(totalBytes)
  if (freeBytes === null) return `${total} in all`
  return `${formatBytes(freeBytes)} free${total === undefined ? '' : ` of ${total}`}`
}

function cgroupWords({ cgroup }: HostObservation): string {
  if (cgroup === null) return 'in the root cgroup, which has no limit and keeps no account'
  const limit =
    cgroup.limitBytes === null
      ? 'no limit'
      : `${cgroup.version === 2 ? 'memory.max' : 'limit'} ${formatBytes(cgroup.limitBytes)}`
  return `${limit}; all in ${cgroup.path} rose by ${formatBytes(cgroup.highestBytes - cgroup.beforeBytes)}`
}

function driverWords(ledger: LedgerHeader | undefined, { memAvailable, hugePages }: HostObservation): string {
  const pages = hugePages.highestBytes - hugePages.beforeBytes
  return [
    ledger === undefined
      ? 'the ledger could not be read'
      : `ledger at most ${formatBytes(ledger.peakBytes)} of ${formatBytes(ledger.budgetBytes)}`,
    ...(pages > 0 ? [`huge pages rose by ${formatBytes(pages)}`] : []),
    `MemAvailable fell by ${formatBytes(memAvailable.beforeBytes - memAvailable.lowestBytes)}`,
  ].join('; ')
}

function verdictOf(tally: Tally, report: Omit<ProbeReport, 'verdict'>): string {
  return [openedWords(report), sizedWords(tally), tookWords(report), refusedWords(tally, report), endWords(report)]
    .filter((part) => part !== '')
    .join(' ')
}

function openedWords({ libraries, processes }: Omit<ProbeReport, 'verdict'>): string {
  if (libraries.length > 0 || processes > 0) return ''
  return 'No call came by the shim: it is a static program, one for another C library than glibc, or it never asked for a GPU or for memory.'
}

function sizedWords({ askedFirst, calls }: Tally): string {
  if (calls.length === 0) return ''
  if (askedFirst.length === 0) return 'It asked nobody how much memory there is.'
  const asked = askedFirst.map((told) => `${told.from} told it ${roomWords(told)}`)
  return `Before it took any, ${listWords(asked)}.`
}

function tookWords({ allocations, ledger, processes }: Omit<ProbeReport, 'verdict'>): string {
  if (processes === 0) return ''
  const taken = allocations.filter((each) => each.granted > 0)
  if (taken.length === 0) return 'It took no driver memory.'
  const ways = taken.map(
    (each) => `${formatBytes(each.grantedBytes)} in ${plural(each.granted, 'call')} of ${each.call}`,
  )
  const peak = ledger === null ? '' : `, at most ${formatBytes(ledger.peakBytes)} at once`
  return `It took ${listWords(ways)}${peak}.`
}

function refusedWords({ firstRefusal }: Tally, { allocations, processes }: Omit<ProbeReport, 'verdict'>): string {
  const refused = allocations.reduce((sum, each) => sum + each.refused, 0)
  if (refused === 0 || firstRefusal === undefined) return processes === 0 ? '' : 'Nothing was refused.'
  const { bytes = 0, leftBytes, by, call } = firstRefusal
  const times = refused === 1 ? 'once' : `${refused} times`
  const left = leftBytes === undefined ? '' : ` with ${formatBytes(leftBytes)} left`
  const who = by === 'shim' ? 'spark-run' : 'the driver'
  return `It was refused ${times}${refused === 1 ? '' : ', first'} by ${who}: ${formatBytes(bytes)} by ${call}${left}.`
}

function endWords({ exitCode }: Omit<ProbeReport, 'verdict'>): string {
  return `It ended with exit code ${exitCode}.`
}

function listWords(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
