import { describe, expect, test } from 'vitest'
import { planView } from '../../../src/views/plan-view.js'
import { SPARK_MEM_TOTAL_BYTES, samplePlan } from '../plan/sample-plan.js'

const viewOf = (policy: unknown) => planView(samplePlan(policy), SPARK_MEM_TOTAL_BYTES)

describe('the plan for people', () => {
  test('a DGX Spark under the default policy', () => {
    expect(viewOf({}).slice(0, 17)).toEqual([
      'HOST',
      '  memory         121.7 GiB',
      '  reserve        9.6 GiB (8 %): MemAvailable stays above it',
      '  next runtime   /usr/bin/runc',
      '  libraries      /usr/lib/spark-run',
      '',
      'BUDGET OF A CONTAINER',
      '  default          what the reserve and other containers leave, at most 112.1 GiB',
      '  at most          112.1 GiB',
      '  at least         256.0 MiB',
      '  asked for with   --budget, SPARK_RUN_BUDGET, MAX_MEMORY_LIMIT_GB, NVML_UNIFIED_MEMORY_CAP_GB, NVIDIA_GPU_MEMORY_LIMIT',
      '',
      'FENCES',
      '  knobs    MAX and JAX are told their budget',
      '  shim     /usr/lib/spark-run/libspark-shim.so: the budget is all the memory a container sees',
      '  cgroup   memory limited to the budget, no swap, oom_score_adj 500',
      '  guard    must run: without it containers are refused',
    ])
  })
  test('every variable stands in the table', () => {
    expect(viewOf({}).join('\n')).toMatch(/^MAX +MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_ONLY +true$/m)
  })
  test('a policy that turns everything off says so, and has no table', () => {
    const off = {
      shim: false,
      knobs: { max: false, jax: false, pytorch: false, vllm: false },
      cgroup: { limitMemory: false },
      onGuardMissing: 'warn',
      onForeign: 'kill-largest',
    }
    expect(viewOf(off).slice(-5)).toEqual([
      'FENCES',
      '  knobs    off',
      '  shim     off',
      '  cgroup   memory not limited, oom_score_adj 500',
      '  guard    should run: without it containers start with a warning; where no container is guilty the largest one dies for the host',
    ])
  })
  test('withheld memory and budgets in numbers', () => {
    const lines = viewOf({ withhold: '21g', budget: { default: '30g', max: '50%' } })
    expect(lines).toContain('  withheld       21.0 GiB of 121.7 GiB')
    expect(lines).toContain('  default          30.0 GiB')
    expect(lines).toContain('  at most          46.2 GiB')
  })
})
