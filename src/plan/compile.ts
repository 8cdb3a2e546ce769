import path from 'node:path'
import { ExpectedError } from '../errors.js'
import type { HostPaths } from '../host/paths.js'
import { KNOBS } from './knobs.js'
import { placeholder } from './placeholders.js'
import { PLAN_VERSION, type Plan, type PlanHook, type PlanMount } from './plan.js'
import type { Policy } from './policy.js'
import { formatBytes, parseSize } from './size.js'
import { BUDGET_WISHES } from './wish.js'

const GIB = 1024 ** 3

/** Where the libraries are inside every container, whatever the host's prefix. */
const CONTAINER_LIB_DIR = '/usr/lib/spark-run'

/** Seconds an engine waits for one of our hooks; they take milliseconds, so this is for a machine in trouble. */
const HOOK_TIMEOUT_SECONDS = 10

export interface CompileInput {
  readonly policy: Policy
  /** The machine's real MemTotal, before anything is withheld. */
  readonly memTotalBytes: number
  readonly paths: HostPaths
  /** OCI runtime found on this machine, absolute; the policy's own wins. */
  readonly nextRuntime: string
  readonly packageVersion: string
}

/**
 * The host's reserve where the policy names none: 2.25 GiB and 6 % of the memory, at most 10 GiB, never more than a quarter (a
 * machine of 2 GiB would otherwise give it all away). It follows from the formula in docs/how-it-works.md, "The reserve".
 */
export function defaultReserveBytes(memTotalBytes: number): number {
  const share = Math.floor(2.25 * GIB + (memTotalBytes * 6) / 100)
  return Math.min(share, 10 * GIB, Math.floor(memTotalBytes / 4))
}

/**
 * Turns policy and machine into the plan. Pure: same input, same plan.
 *
 * @throws ExpectedError `POLICY_CONFLICT` when the sizes of the policy do not fit each other or this machine.
 */
export function compilePlan(input: CompileInput): Plan {
  const { policy, paths } = input
  const host = hostSizes(policy, input.memTotalBytes)
  return {
    planVersion: PLAN_VERSION,
    generator: `spark-run ${input.packageVersion}`,
    nextRuntime: policy.nextRuntime ?? input.nextRuntime,
    paths: { libDir: paths.libDir, runDir: paths.runDir, logDir: paths.logDir },
    host: { reserveBytes: host.reserveBytes, withholdBytes: host.withholdBytes },
    budget: { ...budgetSizes(policy, host.usableBytes), wishes: [...BUDGET_WISHES] },
    onGuardMissing: policy.onGuardMissing,
    onForeign: policy.onForeign,
    cgroup: { ...policy.cgroup },
    containerEdits: {
      env: KNOBS.filter((knob) => policy.knobs[knob.name]).flatMap((knob) => knob.groups),
      mounts: policy.shim ? shimMounts(paths.libDir) : [],
      preload: policy.shim ? `${CONTAINER_LIB_DIR}/libspark-shim.so` : null,
      hooks: ['prestart', 'createRuntime', 'poststop'].map((hookName) => hook(hookName, paths)),
    },
  }
}

interface HostSizes {
  readonly withholdBytes: number
  readonly reserveBytes: number
  /** What containers share: MemTotal − withhold − reserve; 100 % of a budget. */
  readonly usableBytes: number
}

function hostSizes(policy: Policy, memTotalBytes: number): HostSizes {
  const withholdBytes = parseSize(String(policy.withhold), {
    what: 'withhold',
    percentOfBytes: memTotalBytes,
    allowZero: true,
  })
  const machineBytes = memTotalBytes - withholdBytes
  if (machineBytes <= 0) {
    throw conflict(
      `withhold ${formatBytes(withholdBytes)} leaves nothing of the machine's ${formatBytes(memTotalBytes)}`,
    )
  }
  const reserveBytes =
    policy.reserve === null
      ? defaultReserveBytes(machineBytes)
      : parseSize(String(policy.reserve), { what: 'reserve', percentOfBytes: machineBytes })
  const usableBytes = machineBytes - reserveBytes
  if (usableBytes <= 0) {
    throw conflict(`reserve ${formatBytes(reserveBytes)} leaves nothing of the machine's ${formatBytes(machineBytes)}`)
  }
  return { withholdBytes, reserveBytes, usableBytes }
}

function budgetSizes(policy: Policy, usableBytes: number): Omit<Plan['budget'], 'wishes'> {
  const size = (key: 'default' | 'max' | 'min') =>
    parseSize(String(policy.budget[key]), { what: `budget.${key}`, percentOfBytes: usableBytes })
  const defaultBytes = policy.budget.default === 'left' ? null : size('default')
  const maxBytes = policy.budget.max === null ? null : size('max')
  const minBytes = size('min')

  const atMost = (name: string, bytes: number | null, limitName: string, limit: number | null) => {
    if (bytes === null || limit === null || bytes <= limit) return
    throw conflict(`${name} ${formatBytes(bytes)} is more than ${limitName} ${formatBytes(limit)}`)
  }
  const left = 'what the reserve leaves of this machine,'
  atMost('budget.min', minBytes, left, usableBytes)
  atMost('budget.min', minBytes, 'budget.max', maxBytes)
  atMost('budget.min', minBytes, 'budget.default', defaultBytes)
  atMost('budget.default', defaultBytes, 'budget.max', maxBytes)
  atMost('budget.default', defaultBytes, left, usableBytes)
  return { defaultBytes, maxBytes, minBytes }
}

/** The libraries, read-only, and above them the one file that the container's processes share and write. */
function shimMounts(libDir: string): PlanMount[] {
  return [
    { hostPath: libDir, containerPath: CONTAINER_LIB_DIR, options: ['rbind', 'ro', 'nosuid', 'nodev'] },
    {
      hostPath: placeholder('ledger'),
      containerPath: `${CONTAINER_LIB_DIR}/ledger`,
      options: ['bind', 'rw', 'nosuid', 'nodev', 'noexec'],
    },
  ]
}

function hook(hookName: string, paths: HostPaths): PlanHook {
  return {
    hookName,
    path: path.join(paths.libDir, 'spark-hook'),
    args: ['spark-hook', hookName, '--plan', paths.planFile],
    env: ['PATH=/usr/bin:/bin'],
    timeout: HOOK_TIMEOUT_SECONDS,
  }
}

function conflict(sentence: string): ExpectedError {
  return new ExpectedError('POLICY_CONFLICT', sentence, {
    hint: 'Change the policy; spark-run plan shows what it comes to on this machine.',
  })
}
