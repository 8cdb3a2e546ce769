import { ExpectedError } from '../errors.js'
import type { HostPaths } from '../host/paths.js'
import { type Plan, readPlan } from '../plan/plan.js'

/**
 * The plan on this host, where there is a readable one. An engine elsewhere has its own, which only its runtime can read,
 * and a broken one is for the runtime to refuse.
 */
export function readPlanIfHere(paths: HostPaths): Plan | undefined {
  try {
    return readPlan(paths.planFile)
  } catch (error) {
    if (error instanceof ExpectedError) return undefined
    throw error
  }
}
