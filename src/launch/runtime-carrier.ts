import { EXIT_REFUSED, ExpectedError } from '../errors.js'
import { readTombstones } from '../guard/tombstones.js'
import { type HostPaths, hostPaths } from '../host/paths.js'
import type { Plan } from '../plan/plan.js'
import type { CarriedLaunch, DockerLaunch } from './carrier.js'
import { readPlanIfHere } from './installed-plan.js'
import { computeRequest, describeRequest } from './request.js'

/** The name under which `spark-run install docker` enters our runtime. */
export const INSTALLED_RUNTIME = 'spark'

/**
 * Docker with our runtime installed: the runtime does everything, we only name it and pass the request along.
 *
 * @throws ExpectedError where the person asked for another runtime, which would put the container outside its budget.
 */
export function carryByRuntime(launch: DockerLaunch, paths: HostPaths = hostPaths()): CarriedLaunch {
  const plan = readPlanIfHere(paths)
  const runArgs = computeRuntimeFreeArgs(launch, plan)
  const request = computeRequest(launch, {
    memTotalBytes: launch.info.memTotalBytes,
    ...plan?.host,
  })
  return {
    beforeVerb: [],
    afterVerb: [`--runtime=${INSTALLED_RUNTIME}`, ...request.envArgs],
    runArgs,
    facts: [`carried by the installed runtime ${INSTALLED_RUNTIME}`, ...describeRequest(request, plan)],
    tombstones: () => readTombstones(paths.tombstoneDir),
  }
}

/**
 * The person's arguments, without a `--runtime` that ours already stands for. The last `--runtime` wins in Docker, so one
 * that names another runtime would silently undo the budget.
 */
function computeRuntimeFreeArgs(launch: DockerLaunch, plan: Plan | undefined): readonly string[] {
  const { runtime } = launch.scan
  if (runtime === undefined || runtime === INSTALLED_RUNTIME) return launch.runArgs
  const next = plan?.nextRuntime.split('/').at(-1)
  if (runtime === 'nvidia' && next === 'nvidia-container-runtime') {
    launch.say('--runtime nvidia is left out: spark hands over to nvidia-container-runtime itself')
    return withoutRuntimeFlag(launch)
  }
  const instead =
    runtime === 'nvidia'
      ? 'use --gpus all instead, or let spark hand over to it with "nextRuntime": "/usr/bin/nvidia-container-runtime" in /etc/spark-run/config.json'
      : 'leave it out, or start this container with docker itself'
  throw new ExpectedError(
    'OTHER_RUNTIME',
    `--runtime ${runtime} would take the container out of its budget, because Docker uses one runtime only: ${instead}`,
    { exitCode: EXIT_REFUSED },
  )
}

/** Drops `--runtime X` and `--runtime=X` up to the image. A complete scan is the proof that each one found is a flag, not a value. */
function withoutRuntimeFlag({ runArgs, scan }: DockerLaunch): string[] {
  return runArgs.filter((_, index) => !scan.runtimeAt.includes(index))
}
