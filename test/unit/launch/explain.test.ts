import { describe, expect, test } from 'vitest'
import type { GuardEvent } from '../../../src/guard/events.js'
import type { RegistryEntry } from '../../../src/guard/registry.js'
import type { Tombstone } from '../../../src/guard/tombstones.js'
import { explainVerdict } from '../../../src/launch/explain.js'
import { parseInspect } from '../../../src/launch/explain-evidence.js'
import { computeVerdict, type Evidence, type InspectedContainer } from '../../../src/launch/explain-verdict.js'
import { computeKillNotice } from '../../../src/launch/tombstone-notice.js'
import { explainView } from '../../../src/views/explain-view.js'

const GIB = 1024 ** 3

const stone: Tombstone = {
  schemaVersion: 1,
  id: 'aaaabbbbccccdddd',
  name: 'llm',
  request: '11111111-2222-3333-4444-555555555555',
  engine: 'docker',
  killedAt: '2026-11-23T10:00:00.000Z',
  reason: 'under-reserve',
  rule: 'over-budget',
  kills: 2,
  sentence: 'killed container llm: the host had 0.9 GiB left',
  reserveBytes: GIB,
  memAvailableBytes: Math.round(0.9 * GIB),
  slopeBytesPerSecond: -14 * GIB,
  psiFullAvg10Permille: 123,
  budgetBytes: 40 * GIB,
  priority: 0,
  use: { driverBytes: 60 * GIB, cgroupBytes: 2 * GIB },
  killToEmptyMs: 1100,
  samples: [
    { ms: -10_000, availableBytes: 80 * GIB },
    { ms: -5_000, availableBytes: 40 * GIB },
    { ms: 0, availableBytes: Math.round(0.9 * GIB) },
  ],
}

const container: InspectedContainer = {
  id: stone.id,
  name: 'llm',
  engine: 'docker',
  status: 'exited',
  running: false,
  exitCode: 137,
  oomKilled: false,
  error: '',
  startedAt: '2026-11-23T09:00:00.000Z',
  finishedAt: '2026-11-23T10:00:01.000Z',
  request: stone.request ?? undefined,
  memoryLimitBytes: 40 * GIB,
}

const refusal: GuardEvent = {
  schemaVersion: 1,
  time: '2026-11-23T11:00:00.000Z',
  type: 'refused',
  id: 'eeee',
  name: 'llm',
  request: 'r2',
  sentence: 'its budget of 40.0 GiB does not fit',
}

/** The line of the same kill in the event log: all but the samples, as known at the kill. */
const killEvent: GuardEvent = (() => {
  const { samples: _, ...known } = stone
  return { ...known, time: '2026-11-23T10:00:00.001Z', type: 'kill', killToEmptyMs: null }
})()

const note = (type: string, time: string, id = stone.id): GuardEvent => ({
  schemaVersion: 1,
  time: `2026-11-23T${time}.000Z`,
  type,
  id,
  name: 'llm',
})

const entry: RegistryEntry = {
  id: 'ffff0000ffff0000',
  name: 'llm',
  request: undefined,
  engine: 'docker',
  pid: 7,
  pidStart: 1,
  cgroupV2: undefined,
  cgroupMemory: undefined,
  cgroupFreezer: undefined,
  cgroupV2Id: undefined,
  cgroupMemoryId: undefined,
  cgroupFreezerId: undefined,
  pgid: undefined,
  budgetBytes: 8 * GIB,
  reserveBytes: 0,
  priority: 0,
  ledger: undefined,
  createdNs: 0n,
}

function evidence(known: Partial<Evidence> = {}): Evidence {
  return { tombstones: [], events: [], registry: [], inspected: undefined, knownNames: [], ...known }
}

const explain = (who: string, known: Partial<Evidence>) => explainVerdict(who, computeVerdict(who, evidence(known)))

describe('what happened is told apart', () => {
  test.each(['llm', stone.id, 'aaaabb', stone.request ?? ''])(
    'a kill by the guard, asked for as %s, also when the container is gone',
    (who) => {
      expect(computeVerdict(who, evidence({ tombstones: [stone] }))).toMatchObject({ kind: 'guard-kill' })
    },
  )

  test('a kill by the guard is not taken for a plain 137', () => {
    expect(computeVerdict('llm', evidence({ tombstones: [stone], inspected: container }))).toMatchObject({
      kind: 'guard-kill',
    })
  })

  test('a container of the same name that started later is another one', () => {
    const later = { ...container, id: 'new', startedAt: '2026-11-23T12:00:00Z', exitCode: 3 }
    expect(computeVerdict('llm', evidence({ tombstones: [stone], inspected: later }))).toMatchObject({ kind: 'ended' })
    const running = { ...later, running: true }
    expect(computeVerdict('llm', evidence({ tombstones: [stone], inspected: running }))).toMatchObject({
      kind: 'running',
    })
  })

  test('a refusal after a kill is what counts, and the other way round', () => {
    expect(computeVerdict('llm', evidence({ tombstones: [stone], events: [refusal] }))).toMatchObject({
      kind: 'refused',
    })
    const earlier = { ...refusal, time: '2026-11-23T09:00:00Z' }
    expect(computeVerdict('llm', evidence({ tombstones: [stone], events: [earlier] }))).toMatchObject({
      kind: 'guard-kill',
    })
  })

  test('a refusal that knows no name is found by the id of the container that the engine kept', () => {
    const inspected = { ...container, id: 'e'.repeat(64), startedAt: '', exitCode: 128, error: 'refused' }
    const nameless = { ...refusal, id: inspected.id, name: '', request: '' }
    expect(computeVerdict('llm', evidence({ events: [nameless], inspected }))).toMatchObject({ kind: 'refused' })
  })

  test('the kernel, a plain SIGKILL, an end of its own, and one that never started', () => {
    const kindOf = (inspected: InspectedContainer) => computeVerdict('llm', evidence({ inspected })).kind
    expect(kindOf({ ...container, oomKilled: true })).toBe('kernel-oom')
    expect(kindOf(container)).toBe('killed')
    expect(kindOf({ ...container, exitCode: 0 })).toBe('ended')
    expect(kindOf({ ...container, startedAt: '', exitCode: 128, error: 'no such device' })).toBe('not-started')
    expect(kindOf({ ...container, running: true })).toBe('running')
  })

  test('a live one in the registry runs; one that is only in the log is gone', () => {
    expect(computeVerdict('llm', evidence({ registry: [entry] }))).toMatchObject({ kind: 'running' })
    const unregistered = { ...refusal, type: 'unregister' }
    expect(computeVerdict('llm', evidence({ events: [unregistered] }))).toMatchObject({ kind: 'gone' })
  })

  test('an unknown name is answered with those that are near', () => {
    const known = { knownNames: ['llm-server', 'lm', 'web'], tombstones: [{ ...stone, name: 'llama' }] }
    expect(computeVerdict('llm', evidence(known))).toEqual({ kind: 'unknown', near: ['llm-server', 'lm', 'llama'] })
    expect(computeVerdict('zzzzzz', evidence(known))).toEqual({ kind: 'unknown', near: [] })
  })
})

describe('a kill without its tombstone is known from the event log', () => {
  const events = [note('register', '09:00:00'), killEvent, note('unregister', '10:00:02')]

  test.each(['llm', stone.id, 'aaaabb', stone.request ?? ''])('asked for as %s', (who) => {
    expect(explain(who, { events })).toMatchObject({
      verdict: 'guard-kill',
      sentence: 'killed container llm: the host had 0.9 GiB left.',
      exitCode: 137,
      tombstone: { ...stone, killToEmptyMs: null, samples: [] },
    })
  })

  test('with the same words and advice, and one remark that the samples are not there any more', () => {
    const words = explainView(explain('llm', { events }))
    const whole = explainView(explain('llm', { tombstones: [stone], events }))
    expect(words.filter((line) => !whole.includes(line))).toEqual([
      '  not there any more    the memory of the last ten seconds and the time to die: the tombstone is gone, this is from the event log',
    ])
    expect(whole.join()).not.toContain('not there any more')
  })

  test('a newer kill in the log counts before an older tombstone of the same container', () => {
    const older = { ...stone, killedAt: '2026-11-22T10:00:00.000Z', sentence: 'an old one' }
    expect(explain('llm', { tombstones: [older], events }).sentence).toContain('the host had 0.9 GiB left')
  })
})

describe('what came last counts, and an earlier kill is mentioned', () => {
  const again = [
    note('register', '09:00:00'),
    killEvent,
    note('unregister', '10:00:02'),
    note('register', '12:00:00'),
    note('unregister', '13:00:00'),
  ]
  const earlier = [
    'killed before',
    '2026-11-23T10:00:00.000Z by the guard: killed container llm: the host had 0.9 GiB left.',
  ]

  test.each([
    ['with', [stone]],
    ['without', []],
  ])('one that was registered again and ended is gone, not killed (%s the tombstone)', (_, tombstones) => {
    expect(explain('llm', { tombstones, events: again })).toMatchObject({
      verdict: 'gone',
      sentence:
        'llm is gone; the guard did not kill it this time. The last that was noted about it is "unregister" at 2026-11-23T13:00:00.000Z.',
      facts: [earlier],
      tombstone: null,
    })
  })

  test('one that was registered again and lives runs', () => {
    const registry = [{ ...entry, id: stone.id }]
    const explanation = explain('llm', { tombstones: [stone], events: again.slice(0, 4), registry })
    expect(explanation.verdict).toBe('running')
    expect(explanation.facts).toContainEqual(earlier)
  })

  test('one that its engine knows ended by itself', () => {
    const inspected = { ...container, startedAt: '2026-11-23T12:00:00Z', exitCode: 3 }
    const explanation = explain('llm', { tombstones: [stone], events: again, inspected })
    expect(explanation.verdict).toBe('ended')
    expect(explanation.facts).toContainEqual(earlier)
  })

  test('a refusal before it was registered is not what happened last', () => {
    const early = { ...refusal, id: stone.id }
    expect(explain('llm', { events: [early, ...again.slice(3)] }).verdict).toBe('gone')
  })

  test('a guard that starts during the kill and notes the dying container again makes no new life of it', () => {
    const start = { ...note('start', '10:00:01'), id: null, name: null }
    const resumed = [again[0] ?? start, killEvent, start, note('register', '10:00:01'), note('unregister', '10:00:03')]
    expect(explain('llm', { events: resumed }).verdict).toBe('guard-kill')
    const rebooted = [killEvent, { ...start, time: '2026-11-23T11:00:00Z' }, ...again.slice(3)]
    expect(explain('llm', { events: rebooted }).verdict).toBe('gone')
  })
})

describe('what people read', () => {
  test('a kill: numbers, the rule, the timeline, what to do', () => {
    const lines = explainView(explain('llm', { tombstones: [stone] }))
    expect(lines.join('\n')).toBe(
      [
        'killed container llm: the host had 0.9 GiB left.',
        '',
        '  container             docker llm aaaabbbbcccc',
        '  killed at             2026-11-23T10:00:00.000Z',
        '  budget                40.0 GiB',
        '  use at death          62.0 GiB (GPU driver 60.0 GiB, host memory 2.0 GiB)',
        '  reserve of the host   1.0 GiB',
        '  MemAvailable then     921.6 MiB',
        '  slope                 falling by 14.0 GiB/s',
        '  priority              0',
        '  decided by            MemAvailable was under the reserve of 1.0 GiB in two readings in a row',
        '  chosen because        it held 22.0 GiB more than its budget',
        '  waiting for memory    12.3 % of the last 10 s (PSI full)',
        '  kills in a row        2: each start waits twice as long as the one before',
        '  time to die           1100 ms',
        '',
        '  MemAvailable over the last 10.0 s, from 80.0 GiB to 921.6 MiB',
        '  █▄▁┤ kill',
        '',
        '→ To give it more, start it with a larger budget than 40.0 GiB: spark-run --budget SIZE docker run …',
        '→ See who holds what now: spark-run status',
      ].join('\n'),
    )
  })

  test.each([
    ['refused', { events: [refusal] }, 'llm was refused before it started: its budget of 40.0 GiB does not fit.'],
    [
      'kernel-oom',
      { inspected: { ...container, oomKilled: true } },
      'llm was killed by the kernel, not by spark-run: its host memory reached the limit of its cgroup (40.0 GiB).',
    ],
    [
      'killed',
      { inspected: container },
      "llm was ended by SIGKILL, by neither the guard nor the kernel's memory limit: docker kill, docker stop after its grace period, or another program.",
    ],
    [
      'ended',
      { inspected: { ...container, exitCode: 3 } },
      'llm ended by itself with exit code 3; spark-run had no part in it.',
    ],
    ['running', { registry: [entry] }, 'llm runs inside a budget of 8.0 GiB.'],
    [
      'not-started',
      {
        inspected: {
          ...container,
          startedAt: '',
          error: 'failed to create shim task: OCI runtime create failed: spark-run: no guard runs here: unknown',
        },
      },
      'llm could not be started: no guard runs here.',
    ],
    [
      'not-started',
      { inspected: { ...container, startedAt: '', error: 'driver failed: unknown' } },
      'llm could not be started: driver failed: unknown.',
    ],
    [
      'running',
      { inspected: { ...container, running: true } },
      'llm runs, but without a budget: it was not started by spark-run, so the guard does not know it.',
    ],
    [
      'unknown',
      {},
      'Nothing is known here about "llm": no container of that name, id or request, no kill and no refusal.',
    ],
  ])('%s', (kind, known, sentence) => {
    const explanation = explain('llm', known)
    expect(explanation.verdict).toBe(kind)
    expect(explanation.sentence).toBe(sentence)
    expect(explainView(explanation)[0]).toBe(sentence)
  })

  test('one that died for what went to others: who is large on the host comes first', () => {
    const forOthers = { ...stone, rule: 'on-foreign-largest', use: { driverBytes: 0, cgroupBytes: GIB } }
    expect(explain('llm', { tombstones: [forOthers] }).advice[0]).toBe(
      'The memory went to processes outside the containers, so see who is large (ps aux --sort=-rss | head) and stop that; with onForeign: nothing in the policy no container dies for it',
    )
  })

  test('the notice after a kill is one line: who, why, how to give it more, where the rest is', () => {
    expect(computeKillNotice(stone, 'llm')).toBe(
      'killed container llm: the host had 0.9 GiB left; to give it more, start it with a larger budget than 40.0 GiB: ' +
        'spark-run --budget SIZE docker run …; spark-run explain llm tells the rest',
    )
    const innocent = { ...stone, name: null, use: { driverBytes: 0, cgroupBytes: GIB } }
    expect(computeKillNotice(innocent, undefined)).toContain(
      'as far as could be counted it was inside its budget, so give the host room first',
    )
    expect(computeKillNotice(innocent, undefined)).toContain('spark-run explain aaaabbbbcccc tells the rest')
  })
})

test('what docker inspect says is read; a moment that never was is none', () => {
  const json = JSON.stringify({
    Id: 'abc',
    Name: '/llm',
    State: {
      Status: 'created',
      Running: false,
      ExitCode: 0,
      OOMKilled: false,
      Error: 'x',
      StartedAt: '0001-01-01T00:00:00Z',
    },
    Config: { Env: ['A=1', 'SPARK_RUN_REQUEST=v1;id=r-1;budget=5'], Labels: null },
    HostConfig: { Memory: 5 },
  })
  expect(parseInspect(json, 'docker')).toMatchObject({
    name: 'llm',
    startedAt: '',
    request: 'r-1',
    memoryLimitBytes: 5,
    error: 'x',
  })
  expect(parseInspect('[]', 'docker')).toBeUndefined()
  expect(parseInspect('', 'docker')).toBeUndefined()
})
