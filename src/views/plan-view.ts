import { KNOBS } from '../plan/knobs.js'
import type { Plan } from '../plan/plan.js'
import { formatBytes } from '../plan/size.js'
import { formatFields, formatTable } from './table.js'

/** The plan for people: what the host keeps, what a container gets, which fences stand, which variables are set. */
export function planView(plan: Plan, memTotalBytes: number): string[] {
  return [
    'HOST',
    ...formatFields(hostFields(plan, memTotalBytes), '  '),
    '',
    'BUDGET OF A CONTAINER',
    ...formatFields(budgetFields(plan, memTotalBytes), '  '),
    '',
    'FENCES',
    ...formatFields(fenceFields(plan), '  '),
    ...variableTable(plan),
  ]
}

type Field = readonly [string, string]

function hostFields({ host, nextRuntime, paths }: Plan, memTotalBytes: number): Field[] {
  const machineBytes = memTotalBytes - host.withholdBytes
  const percent = ((host.reserveBytes / machineBytes) * 100).toFixed(0)
  const withheld: Field[] =
    host.withholdBytes > 0 ? [['withheld', `${formatBytes(host.withholdBytes)} of ${formatBytes(memTotalBytes)}`]] : []
  return [
    ['memory', formatBytes(machineBytes)],
    ...withheld,
    ['reserve', `${formatBytes(host.reserveBytes)} (${percent} %): MemAvailable stays above it`],
    ['next runtime', nextRuntime],
    ['libraries', paths.libDir],
  ]
}

function budgetFields({ budget, host }: Plan, memTotalBytes: number): Field[] {
  const usable = formatBytes(memTotalBytes - host.withholdBytes - host.reserveBytes)
  return [
    [
      'default',
      budget.defaultBytes === null
        ? `what the reserve and other containers leave, at most ${usable}`
        : formatBytes(budget.defaultBytes),
    ],
    ['at most', budget.maxBytes === null ? usable : formatBytes(budget.maxBytes)],
    ['at least', formatBytes(budget.minBytes)],
    ['asked for with', ['--budget', ...budget.wishes.map((wish) => wish.env)].join(', ')],
  ]
}

function fenceFields({ containerEdits, cgroup, onGuardMissing, onForeign }: Plan): Field[] {
  const { env, preload } = containerEdits
  const told = KNOBS.filter((knob) => knob.groups.some((group) => env.some((other) => other.engine === group.engine)))
  return [
    ['knobs', told.length === 0 ? 'off' : `${told.map((knob) => knob.engine).join(' and ')} are told their budget`],
    ['shim', preload === null ? 'off' : `${preload}: the budget is all the memory a container sees`],
    [
      'cgroup',
      `${cgroup.limitMemory ? 'memory limited to the budget, no swap' : 'memory not limited'}, oom_score_adj ${cgroup.oomScoreAdj}`,
    ],
    [
      'guard',
      [
        onGuardMissing === 'refuse'
          ? 'must run: without it containers are refused'
          : 'should run: without it containers start with a warning',
        ...(onForeign === 'nothing' ? [] : ['where no container is guilty the largest one dies for the host']),
      ].join('; '),
    ],
  ]
}

function variableTable({ containerEdits }: Plan): string[] {
  const rows = containerEdits.env.flatMap(({ engine = '', env }) =>
    env.map((assignment) => {
      const at = assignment.indexOf('=')
      return [engine, assignment.slice(0, at), assignment.slice(at + 1)]
    }),
  )
  if (rows.length === 0) return []
  const columns = [{ heading: 'engine' }, { heading: 'variable' }, { heading: 'value' }]
  return ['', ...formatTable(columns, rows), '', 'None of them replaces a value that the image or the person set.']
}
