import * as v from 'valibot'
import { EXIT_REFUSED, ExpectedError } from '../errors.js'
import { readTombstones } from '../guard/tombstones.js'
import { type HostPaths, hostPaths } from '../host/paths.js'
import type { CarriedLaunch, ContainerLaunch } from './carrier.js'
import { readPlanIfHere } from './installed-plan.js'
import { computeRequest, describeRequest } from './request.js'
import { INSTALLED_RUNTIME } from './runtime-carrier.js'

const podmanInfoSchema = v.object({ host: v.object({ memTotal: v.number() }) })

/**
 * Podman with our runtime in its configuration. Its `--runtime` is a global flag, so it stands before the verb.
 *
 * @throws ExpectedError where Podman does not know the runtime, or the person asked for another one.
 */
export async function carryToPodman(launch: ContainerLaunch, paths: HostPaths = hostPaths()): Promise<CarriedLaunch> {
  const other = findGlobalRuntime(launch.cli.globalArgs)
  if (other !== undefined && other !== INSTALLED_RUNTIME) {
    throw new ExpectedError(
      'OTHER_RUNTIME',
      `--runtime ${other} would take the container out of its budget, because Podman uses one runtime only: leave it out, or start this container with podman itself`,
      { exitCode: EXIT_REFUSED },
    )
  }
  const plan = readPlanIfHere(paths)
  const request = computeRequest(launch, { memTotalBytes: await readMemTotal(launch), ...plan?.host })
  return {
    beforeVerb: other === undefined ? [`--runtime=${INSTALLED_RUNTIME}`] : [],
    afterVerb: [...request.envArgs],
    runArgs: launch.runArgs,
    facts: [`carried by the runtime ${INSTALLED_RUNTIME} in Podman's configuration`, ...describeRequest(request, plan)],
    tombstones: () => readTombstones(paths.tombstoneDir),
  }
}

/** Asks Podman about its machine under our runtime, which fails where that is not configured. */
async function readMemTotal({ cli }: ContainerLaunch): Promise<number> {
  const answer = await cli.ask(['--runtime', INSTALLED_RUNTIME, 'info', '--format', 'json'])
  if (answer.exitCode === 0) {
    const info = v.safeParse(podmanInfoSchema, JSON.parse(answer.stdout))
    return info.success ? info.output.host.memTotal : 0
  }
  if (/OCI runtime .* not found/.test(answer.stderr)) {
    throw new ExpectedError(
      'NOT_INSTALLED',
      'nothing was started: Podman here knows no runtime named spark, and without it nothing holds the container',
      { hint: 'As root: spark-run install podman', exitCode: EXIT_REFUSED },
    )
  }
  const words = answer.stderr.trim().split('\n').at(-1) ?? ''
  throw new ExpectedError('ENGINE_NO_ANSWER', `Podman did not answer, so nothing was started: ${words}`, {
    exitCode: EXIT_REFUSED,
  })
}

/** The last `--runtime` among Podman's global flags. */
export function findGlobalRuntime(globalArgs: readonly string[]): string | undefined {
  const at = globalArgs.findLastIndex((argument) => argument === '--runtime' || argument.startsWith('--runtime='))
  const argument = globalArgs[at]
  return argument === '--runtime' ? globalArgs[at + 1] : argument?.slice('--runtime='.length)
}
