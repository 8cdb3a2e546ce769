import { resolveProgram } from '../engines/next-runtime.js'
import { ExpectedError } from '../errors.js'
import { readMeminfo } from '../host/meminfo.js'
import type { HostPaths } from '../host/paths.js'
import { compilePlan } from '../plan/compile.js'
import { type Plan, readPlan } from '../plan/plan.js'
import { readPolicy } from '../plan/policy.js'

/** Where Debian, Ubuntu and DGX OS put runc; named where no runtime is found at all. */
const USUAL_RUNTIME = '/usr/bin/runc'

export interface CompiledForHost {
  readonly plan: Plan
  /** MemTotal before anything is withheld. */
  readonly memTotalBytes: number
}

/**
 * The plan that this machine would get from a policy file.
 *
 * @param policyFile default: the host's own; a missing one means the defaults.
 * @throws ExpectedError for a policy that is broken or does not fit the machine.
 */
export function compileForHost(
  paths: HostPaths,
  packageVersion: string,
  policyFile = paths.policyFile,
): CompiledForHost {
  const memTotalBytes = readMeminfo().totalBytes
  const plan = compilePlan({
    policy: readPolicy(policyFile),
    memTotalBytes,
    paths,
    nextRuntime: findNextRuntime(paths),
    packageVersion,
  })
  return { plan, memTotalBytes }
}

/**
 * Reserve and withheld memory as carriers apply them now: the installed plan's, which a policy edited since does not
 * change; on a machine without one, what its policy comes to.
 *
 * @throws ExpectedError for an installed plan that is broken or of another version.
 */
export function hostSizesInForce(paths: HostPaths, packageVersion: string): Plan['host'] {
  try {
    return readPlan(paths.planFile).host
  } catch (error) {
    if (error instanceof ExpectedError && error.code === 'PLAN_MISSING')
      return compileForHost(paths, packageVersion).plan.host
    throw error
  }
}

/** What the installed plan hands over to; on a machine without one, what an engine would find on its search path. */
function findNextRuntime(paths: HostPaths): string {
  try {
    return readPlan(paths.planFile).nextRuntime
  } catch {
    return resolveProgram('runc') ?? resolveProgram('crun') ?? USUAL_RUNTIME
  }
}
