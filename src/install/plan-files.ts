import { existsSync } from 'node:fs'
import { readMeminfo } from '../host/meminfo.js'
import type { HostPaths } from '../host/paths.js'
import { compilePlan } from '../plan/compile.js'
import type { Plan } from '../plan/plan.js'
import { readPolicy } from '../plan/policy.js'
import { computeOwnFile, type FileChange } from './file-change.js'
import { readTemplate } from './templates.js'

export interface PlanFiles {
  readonly plan: Plan
  readonly changes: FileChange[]
}

/**
 * The policy, where there is none yet, and the plan that it comes to on this machine. A policy that is there is read and
 * never written: it belongs to the owner of the machine.
 *
 * @param nextRuntime what the policy's `nextRuntime` stands above.
 * @throws ExpectedError for a policy that is broken or does not fit the machine.
 */
export function computePlanFiles(paths: HostPaths, nextRuntime: string, packageVersion: string): PlanFiles {
  const policy = readPolicy(paths.policyFile)
  const { totalBytes } = readMeminfo()
  const plan = compilePlan({ policy, memTotalBytes: totalBytes, paths, nextRuntime, packageVersion })
  const planFile = computeOwnFile({
    what: 'plan',
    path: paths.planFile,
    content: `${JSON.stringify(plan, null, 2)}\n`,
    mode: 0o644,
    ifEdited: { kind: 'remove' },
  })
  if (existsSync(paths.policyFile)) return { plan, changes: [planFile] }
  const policyFile = computeOwnFile({
    what: 'policy',
    path: paths.policyFile,
    content: readTemplate('config.json'),
    mode: 0o644,
    ifEdited: { kind: 'keep' },
  })
  return { plan, changes: [policyFile, planFile] }
}
