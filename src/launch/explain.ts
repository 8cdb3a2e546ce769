import type { Tombstone } from '../guard/tombstones.js'
import { formatBytes } from '../plan/size.js'
import type { InspectedContainer, Verdict } from './explain-verdict.js'
import { computeRemedy } from './tombstone-notice.js'

/** The answer of `spark-run explain`, for people and for `--json`. */
export interface Explanation {
  readonly schemaVersion: 1
  readonly verdict: Verdict['kind']
  readonly who: string
  readonly id: string | null
  readonly name: string | null
  readonly engine: string | null
  readonly request: string | null
  /** What happened, in one sentence. */
  readonly sentence: string
  readonly facts: readonly (readonly [label: string, value: string])[]
  /** What to do next, one step each. */
  readonly advice: readonly string[]
  /** The guard's record, where it killed. */
  readonly tombstone: Tombstone | null
  readonly exitCode: number | null
  readonly near: readonly string[]
}

/** Puts a verdict into words. Pure. */
export function explainVerdict(who: string, verdict: Verdict): Explanation {
  const explanation = explainLast(who, verdict)
  const { earlierKill: kill } = verdict
  if (kill === undefined) return explanation
  const earlier = ['killed before', `${kill.killedAt} by the guard: ${endSentence(kill.sentence)}`] as const
  return { ...explanation, facts: [...explanation.facts, earlier] }
}

function explainLast(who: string, verdict: Verdict): Explanation {
  switch (verdict.kind) {
    case 'guard-kill':
      return explainGuardKill(who, verdict)
    case 'refused':
      return {
        ...base(who, verdict.kind),
        id: verdict.event.id || null,
        name: verdict.event.name || null,
        request: verdict.event.request || null,
        sentence: `${nameOf(who, verdict.event.name)} was refused before it started: ${endSentence(verdict.event.sentence ?? 'the reason was not recorded')}`,
        facts: [['refused at', verdict.event.time]],
        advice: [
          'See who holds what: spark-run status',
          'Ask for less: spark-run --budget SIZE docker run …, or stop a container first',
        ],
      }
    case 'kernel-oom':
      return {
        ...ofContainer(who, verdict.kind, verdict.container),
        sentence: `${nameOf(who, verdict.container.name)} was killed by the kernel, not by spark-run: its host memory reached the limit of its cgroup${limitOf(verdict.container)}.`,
        advice: [
          'The budget is also the limit of its host memory. Give it more: spark-run --budget SIZE docker run …',
          'Or make it use less host memory: fewer workers, smaller caches, no second copy of the weights',
        ],
      }
    case 'killed':
      return {
        ...ofContainer(who, verdict.kind, verdict.container),
        sentence: `${nameOf(who, verdict.container.name)} was ended by SIGKILL, by neither the guard nor the kernel's memory limit: docker kill, docker stop after its grace period, or another program.`,
        advice: [
          'See what the engine did at that time: docker events --since 1h --filter container=' +
            verdict.container.id.slice(0, 12),
        ],
      }
    case 'ended':
      return {
        ...ofContainer(who, verdict.kind, verdict.container),
        sentence: `${nameOf(who, verdict.container.name)} ended by itself with exit code ${verdict.container.exitCode}; spark-run had no part in it.`,
        advice: [`Its own last words: ${verdict.container.engine} logs --tail 20 ${verdict.container.name}`],
      }
    case 'not-started':
      return {
        ...ofContainer(who, verdict.kind, verdict.container),
        exitCode: null,
        sentence:
          verdict.container.error === ''
            ? `${nameOf(who, verdict.container.name)} was created and never started.`
            : `${nameOf(who, verdict.container.name)} could not be started: ${endSentence(unwrapEngineError(verdict.container.error))}`,
        advice: [],
      }
    case 'running': {
      const { entry, container } = verdict
      const name = nameOf(who, container?.name ?? entry?.name)
      return {
        ...base(who, verdict.kind),
        id: entry?.id ?? container?.id ?? null,
        name: container?.name ?? entry?.name ?? null,
        engine: entry?.engine ?? container?.engine ?? null,
        request: entry?.request ?? container?.request ?? null,
        sentence:
          entry === undefined
            ? `${name} runs, but without a budget: it was not started by spark-run, so the guard does not know it.`
            : `${name} runs inside a budget of ${formatBytes(entry.budgetBytes)}.`,
        facts:
          entry === undefined
            ? []
            : [
                ['budget', formatBytes(entry.budgetBytes)],
                ['priority', String(entry.priority)],
              ],
        advice:
          entry === undefined
            ? ['Start it with a budget: spark-run docker run …']
            : ['See what it holds now: spark-run status'],
      }
    }
    case 'gone':
      return {
        ...base(who, verdict.kind),
        id: verdict.event.id || null,
        name: verdict.event.name || null,
        request: verdict.event.request || null,
        sentence: `${nameOf(who, verdict.event.name)} is gone; the guard did not kill it${verdict.earlierKill === undefined ? '' : ' this time'}. The last that was noted about it is "${verdict.event.type}" at ${verdict.event.time}.`,
        advice: [],
      }
    case 'unknown':
      return {
        ...base(who, verdict.kind),
        near: verdict.near,
        sentence: `Nothing is known here about "${who}": no container of that name, id or request, no kill and no refusal.`,
        advice:
          verdict.near.length === 0
            ? ['See what runs: spark-run status; see what died: docker ps --all']
            : [`Perhaps you mean: ${verdict.near.join(', ')}`],
      }
  }
}

function explainGuardKill(
  who: string,
  { tombstone, fromLog, container }: Extract<Verdict, { kind: 'guard-kill' }>,
): Explanation {
  const { use, budgetBytes } = tombstone
  const usedBytes = use.driverBytes + use.cgroupBytes
  const rows: [string, string][] = [
    ['killed at', tombstone.killedAt],
    ['budget', formatBytes(budgetBytes)],
    [
      'use at death',
      `${formatBytes(usedBytes)} (GPU driver ${formatBytes(use.driverBytes)}, host memory ${formatBytes(use.cgroupBytes)})`,
    ],
    ['reserve of the host', formatBytes(tombstone.reserveBytes)],
    ['MemAvailable then', formatBytes(tombstone.memAvailableBytes)],
    ['slope', describeSlope(tombstone.slopeBytesPerSecond)],
    ['priority', String(tombstone.priority)],
    ['decided by', describeRule(tombstone)],
    ['chosen because', describeChoice(tombstone, usedBytes)],
  ]
  if (tombstone.psiFullAvg10Permille !== null)
    rows.push(['waiting for memory', `${tombstone.psiFullAvg10Permille / 10} % of the last 10 s (PSI full)`])
  if (tombstone.kills > 1)
    rows.push(['kills in a row', `${tombstone.kills}: each start waits twice as long as the one before`])
  if (tombstone.killToEmptyMs !== null) rows.push(['time to die', `${tombstone.killToEmptyMs} ms`])
  if (fromLog)
    rows.push([
      'not there any more',
      'the memory of the last ten seconds and the time to die: the tombstone is gone, this is from the event log',
    ])
  if (container !== undefined && container.id === tombstone.id) rows.push(['now', container.status])
  return {
    ...base(who, 'guard-kill'),
    id: tombstone.id,
    name: tombstone.name,
    engine: tombstone.engine,
    request: tombstone.request,
    sentence: endSentence(tombstone.sentence),
    facts: rows,
    advice: [capitalize(computeRemedy(tombstone)), 'See who holds what now: spark-run status'],
    tombstone,
    exitCode: 137,
  }
}

function describeRule({ reason, reserveBytes }: Tombstone): string {
  switch (reason) {
    case 'under-reserve':
      return `MemAvailable was under the reserve of ${formatBytes(reserveBytes)} in two readings in a row`
    case 'falling':
      return 'MemAvailable fell so fast that it would have been under the reserve before a kill could work'
    default:
      return reason
  }
}

function describeChoice({ rule, budgetBytes }: Tombstone, usedBytes: number): string {
  if (rule === 'on-foreign-largest') return 'no container was guilty, and the policy says onForeign: kill-largest'
  return usedBytes > budgetBytes
    ? `it held ${formatBytes(usedBytes - budgetBytes)} more than its budget`
    : 'nobody was over budget; lowest priority dies first, then who holds most, then who came last'
}

function describeSlope(bytesPerSecond: number): string {
  const size = `${formatBytes(Math.abs(bytesPerSecond))}/s`
  if (bytesPerSecond === 0) return 'level'
  return bytesPerSecond < 0 ? `falling by ${size}` : `rising by ${size}`
}

function base(who: string, verdict: Verdict['kind']): Explanation {
  return {
    schemaVersion: 1,
    verdict,
    who,
    id: null,
    name: null,
    engine: null,
    request: null,
    sentence: '',
    facts: [],
    advice: [],
    tombstone: null,
    exitCode: null,
    near: [],
  }
}

function ofContainer(who: string, verdict: Verdict['kind'], container: InspectedContainer): Explanation {
  const times: (readonly [string, string])[] = [
    ['started at', container.startedAt],
    ['ended at', container.finishedAt],
  ]
  return {
    ...base(who, verdict),
    id: container.id,
    name: container.name,
    engine: container.engine,
    request: container.request ?? null,
    facts: [...times.filter(([, time]) => time !== ''), ['exit code', String(container.exitCode)]],
    exitCode: container.exitCode,
  }
}

function limitOf({ memoryLimitBytes }: InspectedContainer): string {
  return memoryLimitBytes > 0 ? ` (${formatBytes(memoryLimitBytes)})` : ''
}

function nameOf(who: string, name: string | null | undefined): string {
  return name === undefined || name === null || name === '' ? who : name
}

/** Docker's and containerd's words around what a runtime said: `failed to create shim task: OCI runtime create failed: …: unknown`. */
function unwrapEngineError(error: string): string {
  const [, words] =
    /^(?:failed to create (?:shim )?task(?: for container)?: )?OCI runtime \w+ failed: (?:spark-run(?:time)?: )?(.*?)(?:: unknown)?$/s.exec(
      error.trim(),
    ) ?? []
  return words || error
}

function endSentence(text: string): string {
  return /[.!?]$/.test(text.trim()) ? text.trim() : `${text.trim()}.`
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
