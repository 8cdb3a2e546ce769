import type { CgroupLayout } from '../host/cgroup.js'
import { expandPlaceholders, type PlaceholderValues, placeholderValues } from './placeholders.js'
import type { EnvGroup, Plan, PlanMount } from './plan.js'
import { refuseOverBudget, type UserMemory } from './user-memory.js'

/** Engines whose `run` and `create` take these flags. */
type FlagsEngine = 'docker' | 'podman'

/** What admission granted one container; the output of `spark-hook admit` (docs/formats.md section 9). */
export interface Grant {
  readonly id: string
  readonly budgetBytes: number
  readonly engineBytes: number
  readonly reserveBytes: number
  readonly priority: number
  /** Host path. */
  readonly ledger: string
}

export interface FlagsInput {
  readonly plan: Plan
  readonly engine: FlagsEngine
  readonly grant: Grant
  /** The image's own environment. */
  readonly imageEnv: Readonly<Record<string, string>>
  /** What the person gave with `-e` and `--env-file`. */
  readonly userEnv: Readonly<Record<string, string>>
  /** A limit of the person's own stands alone where it keeps to the budget. */
  readonly userMemory?: UserMemory
  /** Where the person mounts something of their own; nothing of ours goes there. */
  readonly userMountTargets?: readonly string[]
  readonly cgroup: Pick<CgroupLayout, 'memoryController' | 'swapAccounting'>
}

/** In the library directory: a preload file that names the shim, for carriers that cannot merge with the image's own. */
const PRELOAD_FILE = 'ld.so.preload'

/**
 * The plan as flags to put right after `docker run` or `podman run`, before the person's own: single-valued flags of
 * theirs then win over these. For machines without the installed runtime: no hooks, and an image's own
 * /etc/ld.so.preload is covered by ours. Pure.
 *
 * @throws ExpectedError `MEMORY_OVER_BUDGET` where the person's own limit is larger than the budget.
 */
export function planToFlags(input: FlagsInput): string[] {
  const { plan, grant } = input
  const values = placeholderValues(grant)
  return [
    ...memoryFlags(input),
    '--oom-score-adj',
    String(plan.cgroup.oomScoreAdj),
    ...envFlags(plan.containerEdits.env, { ...input.imageEnv, ...input.userEnv }, values),
    ...mountFlags(input, values),
  ]
}

function memoryFlags({ plan, grant, userMemory = {}, cgroup }: FlagsInput): string[] {
  if (!plan.cgroup.limitMemory || !cgroup.memoryController) return []
  refuseOverBudget(userMemory, grant.budgetBytes)
  if (userMemory.memory !== undefined) return []
  const limit = `${grant.budgetBytes}b`
  // Memory and swap together may be no more than memory alone: swap is off. Without swap accounting engines refuse the flag.
  const setsSwap = cgroup.swapAccounting && userMemory.memorySwap === undefined
  return ['--memory', limit, ...(setsSwap ? ['--memory-swap', limit] : [])]
}

/** A name set to the empty string counts as set; a group with a name the person chose otherwise is left alone. */
function envFlags(
  groups: readonly EnvGroup[],
  containerEnv: Readonly<Record<string, string>>,
  values: PlaceholderValues,
): string[] {
  const isSet = (name: string) => Object.hasOwn(containerEnv, name)
  return groups
    .filter((group) => !group.unlessEnv.some(isSet))
    .flatMap((group) => group.env)
    .filter((assignment) => !isSet(assignment.slice(0, assignment.indexOf('='))))
    .flatMap((assignment) => ['--env', expandPlaceholders(assignment, values)])
}

function mountFlags({ plan, engine, userMountTargets = [] }: FlagsInput, values: PlaceholderValues): string[] {
  const { mounts, preload } = plan.containerEdits
  const preloadFile: PlanMount = {
    hostPath: `${plan.paths.libDir}/${PRELOAD_FILE}`,
    containerPath: '/etc/ld.so.preload',
    options: ['bind', 'ro'],
  }
  return [...mounts, ...(preload === null ? [] : [preloadFile])]
    .filter((mount) => !userMountTargets.includes(mount.containerPath))
    .flatMap((mount) => ['--mount', mountValue(mount, engine, values)])
}

/** Both engines read the value of `--mount` as one line of CSV. */
function mountValue(mount: PlanMount, engine: FlagsEngine, values: PlaceholderValues): string {
  const fields = [
    'type=bind',
    `source=${expandPlaceholders(mount.hostPath, values)}`,
    `target=${mount.containerPath}`,
    ...(mount.options.includes('ro') ? ['readonly'] : []),
    // Docker's --mount has no names for these; its bind mounts keep the flags of the host's mount.
    ...(engine === 'podman' ? mount.options.filter((option) => PODMAN_OPTIONS.has(option)) : []),
  ]
  return fields.map((field) => (/[",\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field)).join(',')
}

const PODMAN_OPTIONS = new Set(['nosuid', 'nodev', 'noexec'])
