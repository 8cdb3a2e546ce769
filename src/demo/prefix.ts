import { mkdirSync, writeFileSync } from 'node:fs'
import { packageVersion } from '../host/package-files.js'
import type { HostPaths } from '../host/paths.js'
import { hostPaths } from '../host/paths.js'
import { applyChange } from '../install/file-change.js'
import { computePlanFiles } from '../install/plan-files.js'
import { computeProgramFiles } from '../install/program-files.js'
import type { Plan } from '../plan/plan.js'
import type { SmallMachine } from './machine.js'

/** Lays programs and libraries under a prefix as `spark-run install` lays them on a host; nothing outside it is touched. */
export function layPrograms(prefix: string): HostPaths {
  const paths = hostPaths(prefix)
  for (const change of computeProgramFiles(paths)) applyChange(change)
  for (const dir of [paths.etcDir, paths.registryDir, paths.ledgerDir, paths.tombstoneDir, paths.logDir]) {
    mkdirSync(dir, { recursive: true, mode: 0o755 })
  }
  return paths
}

/** Writes the policy of the small machine, and the plan that it comes to. */
export function layPlan(paths: HostPaths, machine: SmallMachine, nextRuntime: string): Plan {
  const policy = {
    reserve: machine.reserveBytes,
    withhold: machine.withholdBytes,
    nextRuntime,
  }
  writeFileSync(paths.policyFile, `${JSON.stringify(policy, null, 2)}\n`)
  const { plan, changes } = computePlanFiles(paths, nextRuntime, packageVersion())
  for (const change of changes) applyChange(change)
  return plan
}
