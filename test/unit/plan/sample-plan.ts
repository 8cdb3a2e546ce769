import { hostPaths } from '../../../src/host/paths.js'
import { type CompileInput, compilePlan } from '../../../src/plan/compile.js'
import type { Plan } from '../../../src/plan/plan.js'
import { parsePolicy } from '../../../src/plan/policy.js'

/** MemTotal of a DGX Spark as users report it. */
export const SPARK_MEM_TOTAL_BYTES = 130_663_006_208

/** A plan for a DGX Spark at the real places, with what `policy` changes. */
export function samplePlan(policy: unknown = {}, overrides: Partial<CompileInput> = {}): Plan {
  return compilePlan({
    policy: parsePolicy(policy, 'test policy'),
    memTotalBytes: SPARK_MEM_TOTAL_BYTES,
    paths: hostPaths(''),
    nextRuntime: '/usr/bin/runc',
    packageVersion: '0.1.0',
    ...overrides,
  })
}
