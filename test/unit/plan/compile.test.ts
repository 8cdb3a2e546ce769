import { describe, expect, test } from 'vitest'
import { hostPaths } from '../../../src/host/paths.js'
import { defaultReserveBytes } from '../../../src/plan/compile.js'
import { parsePlan } from '../../../src/plan/plan.js'
import { thrown } from '../../support/thrown.js'
import { SPARK_MEM_TOTAL_BYTES, samplePlan } from './sample-plan.js'

const GIB = 1024 ** 3

describe('the default reserve', () => {
  const cases: [string, number, number][] = [
    ['a DGX Spark keeps 9.6 GiB', SPARK_MEM_TOTAL_BYTES, Math.floor(2.25 * GIB + SPARK_MEM_TOTAL_BYTES * 0.06)],
    ['a machine of 24 GiB keeps 3.7 GiB', 24 * GIB, Math.floor(3.69 * GIB)],
    ['a machine of 480 GiB keeps 10 GiB', 480 * GIB, 10 * GIB],
    ['a Jetson of 8 GiB keeps a quarter', 8 * GIB, 2 * GIB],
    ['a machine of 4 GiB keeps 1 GiB', 4 * GIB, GIB],
    ['a machine of 2 GiB keeps a quarter, not half', 2 * GIB, GIB / 2],
  ]
  for (const [name, memTotal, reserve] of cases) {
    test(name, () => expect(defaultReserveBytes(memTotal)).toBe(reserve))
  }
})

describe('sizes of the policy on this machine', () => {
  test('a percentage of reserve is of the machine, of a budget of what is left', () => {
    const plan = samplePlan({ reserve: '10%', budget: { default: '30%', max: '80%' } }, { memTotalBytes: 100 * GIB })
    expect(plan.host.reserveBytes).toBe(10 * GIB)
    expect(plan.budget).toMatchObject({ defaultBytes: 27 * GIB, maxBytes: 72 * GIB })
  })
  test('withheld memory is no part of the machine: reserve and shares shrink with it', () => {
    const plan = samplePlan({ withhold: '96g', reserve: '25%', budget: { max: '100%' } }, { memTotalBytes: 100 * GIB })
    expect(plan.host).toEqual({ reserveBytes: GIB, withholdBytes: 96 * GIB })
    expect(plan.budget.maxBytes).toBe(3 * GIB)
  })
  test('the rest is the default budget, as null', () => expect(samplePlan().budget.defaultBytes).toBeNull())

  const conflicts: [string, unknown, string][] = [
    [
      'a reserve as large as the machine',
      { reserve: '200g' },
      "reserve 200.0 GiB leaves nothing of the machine's 121.7 GiB",
    ],
    ['withholding it all', { withhold: '100%' }, "withhold 121.7 GiB leaves nothing of the machine's 121.7 GiB"],
    [
      'a default over the most',
      { budget: { default: '50g', max: '40g' } },
      'budget.default 50.0 GiB is more than budget.max 40.0 GiB',
    ],
    [
      'a least over the most',
      { budget: { min: '2g', max: '1g' } },
      'budget.min 2.0 GiB is more than budget.max 1.0 GiB',
    ],
    [
      'a default the machine has not',
      { budget: { default: '120g' } },
      'budget.default 120.0 GiB is more than what the reserve leaves of this machine, 112.1 GiB',
    ],
  ]
  for (const [name, policy, sentence] of conflicts) {
    test(`${name} is refused with both values`, () => {
      expect(thrown(() => samplePlan(policy))).toMatchObject({ code: 'POLICY_CONFLICT', message: sentence })
    })
  }
})

describe('what the policy turns off', () => {
  test('no shim: nothing is preloaded and nothing mounted', () => {
    expect(samplePlan({ shim: false }).containerEdits).toMatchObject({ preload: null, mounts: [] })
  })
  test('a knob that is off leaves no variables of that engine', () => {
    const names = JSON.stringify(samplePlan({ knobs: { max: false } }).containerEdits.env)
    expect(names).not.toContain('MODULAR_')
    expect(names).toContain('XLA_')
  })
})

describe('where the plan points', () => {
  test("the policy's runtime goes before the one that was found", () => {
    expect(samplePlan({ nextRuntime: '/opt/crun' }).nextRuntime).toBe('/opt/crun')
  })
  test('a prefix moves every host path, and none in the container', () => {
    const plan = samplePlan({}, { paths: hostPaths('/tmp/elsewhere') })
    expect(plan.paths).toEqual({
      libDir: '/tmp/elsewhere/usr/lib/spark-run',
      runDir: '/tmp/elsewhere/run/spark-run',
      logDir: '/tmp/elsewhere/var/log/spark-run',
    })
    expect(plan.containerEdits.hooks.map((hook) => hook.path)).toEqual(
      Array(3).fill('/tmp/elsewhere/usr/lib/spark-run/spark-hook'),
    )
    expect(plan.containerEdits.mounts[0]).toMatchObject({
      hostPath: '/tmp/elsewhere/usr/lib/spark-run',
      containerPath: '/usr/lib/spark-run',
    })
    expect(plan.containerEdits.preload).toBe('/usr/lib/spark-run/libspark-shim.so')
  })
  test('the plan is one that its own reader accepts', () => {
    expect(parsePlan(JSON.parse(JSON.stringify(samplePlan())), 'plan')).toEqual(samplePlan())
  })
})
