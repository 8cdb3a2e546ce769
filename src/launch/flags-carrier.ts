import { isDeepStrictEqual } from 'node:util'
import * as v from 'valibot'
import { EXIT_REFUSED, ExpectedError } from '../errors.js'
import { ensureSidecar, SIDECAR_NAME, type Sidecar } from '../guard/sidecar.js'
import { nativeBuildDir, packageVersion } from '../host/package-files.js'
import { type HostPaths, hostPaths } from '../host/paths.js'
import { compilePlan } from '../plan/compile.js'
import { type Grant, planToFlags } from '../plan/flags.js'
import { engineBytesOf } from '../plan/placeholders.js'
import type { Plan } from '../plan/plan.js'
import { readPolicy } from '../plan/policy.js'
import type { CarriedLaunch, DockerLaunch } from './carrier.js'
import { computeImageEnv, computeUserEnv } from './container-env.js'
import { computeRequest, describeRequest, type EncodedRequest } from './request.js'
import { followStarts, REQUEST_LABEL, releaseGrant } from './sidecar-registration.js'

const NOT_FOLLOWED =
  'spark is not installed in this engine: the container has its budget, but the guard will not watch it after docker start; ' +
  'spark-run install docker mends that'

const OLDER_GUARD = `the guard of this engine follows the policy it was started with, which is not this one; docker rm -f ${SIDECAR_NAME} lets the next run start a new one`

const grantSchema = v.object({
  id: v.string(),
  budgetBytes: v.number(),
  reserveBytes: v.number(),
  engineBytes: v.number(),
  priority: v.number(),
  ledger: v.string(),
})

/**
 * Docker without our runtime: the plan as flags, the guard as a container beside.
 *
 * @throws ExpectedError where the engine cannot have such a guard, or admission refuses the container.
 */
export async function carryByFlags(launch: DockerLaunch, paths: HostPaths = hostPaths()): Promise<CarriedLaunch> {
  const { info } = launch
  if (info.sidecarObstacle !== undefined) {
    throw new ExpectedError('ENGINE_UNSUITED', `nothing was started: ${info.sidecarObstacle}`, {
      hint: 'To run it without any guard, use docker itself.',
      exitCode: EXIT_REFUSED,
    })
  }
  const compile = (libDir: string) =>
    compilePlan({
      policy: readPolicy(paths.policyFile),
      memTotalBytes: info.memTotalBytes,
      paths: { ...paths, libDir },
      nextRuntime: '/usr/bin/runc',
      packageVersion: packageVersion(),
    })
  const env = { ...(await readImageEnv(launch)), user: computeUserEnv(launch.scan, launch.environment) }
  const toFlags = (plan: Plan, grant: Grant) => [
    ...['--label', `${REQUEST_LABEL}=${launch.requestId}`],
    ...planToFlags({
      plan,
      engine: 'docker',
      grant,
      imageEnv: env.image,
      userEnv: env.user,
      userMemory: launch.scan.memory,
      cgroup: { memoryController: info.memoryLimit, swapAccounting: info.swapLimit },
    }),
  ]
  if (launch.invocation.options.dryRun) return rehearse(launch, compile(LIBRARY_PLACE), toFlags)

  const sidecar = await ensureSidecar(launch.cli, {
    paths,
    compile,
    say: launch.say,
    ensureImage: () => ensureGuardImage(launch),
  })
  const { plan } = sidecar
  if (!isDeepStrictEqual(compile(plan.paths.libDir), plan)) launch.say(OLDER_GUARD)
  const request = computeRequest(launch, { memTotalBytes: info.memTotalBytes, ...plan.host })
  const grant = await admit(launch, sidecar, request, paths, { ...env.image, ...env.user })
  const registration = { launch, sidecar, grant, planFile: paths.planFile }
  let flags: readonly string[]
  try {
    flags = toFlags(plan, grant)
  } catch (error) {
    await releaseGrant(registration)
    throw error
  }
  const creates = launch.verb.verb?.endsWith('create') === true
  if (creates) launch.say(NOT_FOLLOWED)
  const starts = creates ? undefined : followStarts(registration)
  return {
    beforeVerb: [],
    afterVerb: flags,
    runArgs: launch.runArgs,
    facts: [],
    ...(starts === undefined ? {} : { onEnded: starts.finish }),
    tombstones: () => sidecar.readTombstones(),
  }
}

/** Stands for the directory on the engine's host that exists only once the guard does. */
const LIBRARY_PLACE = '/var/lib/docker/volumes/spark-run-lib/_data'

/** The command as it would be, with a grant as it would be on a machine that nobody else uses. */
function rehearse(
  launch: DockerLaunch,
  plan: Plan,
  toFlags: (plan: Plan, grant: Grant) => readonly string[],
): CarriedLaunch {
  const request = computeRequest(launch, { memTotalBytes: launch.info.memTotalBytes, ...plan.host })
  const { reserveBytes, withholdBytes } = plan.host
  const left = launch.info.memTotalBytes - withholdBytes - reserveBytes
  const budgetBytes = request.request.budgetBytes ?? plan.budget.defaultBytes ?? left
  const grant: Grant = {
    id: launch.requestId,
    budgetBytes,
    engineBytes: engineBytesOf(budgetBytes),
    reserveBytes: request.request.reserveBytes ?? 0,
    priority: request.request.priority ?? 0,
    ledger: `${plan.paths.runDir}/ledgers/${launch.requestId}`,
  }
  return {
    beforeVerb: [],
    afterVerb: toFlags(plan, grant),
    runArgs: launch.runArgs,
    facts: [
      'carried by flags, because the engine has no runtime named spark; a container spark-run-guard would watch it',
      'budget and ledger are as on a machine that no other container uses; the guard decides when it starts',
      ...describeRequest(request, plan),
    ],
    tombstones: async () => [],
  }
}

/** Asks the guard's side whether the budget fits; its refusal says who holds what. */
async function admit(
  launch: DockerLaunch,
  sidecar: Sidecar,
  request: EncodedRequest,
  paths: HostPaths,
  env: Readonly<Record<string, string>>,
): Promise<Grant> {
  const wishes = sidecar.plan.budget.wishes.map((wish) => wish.env).filter((name) => Object.hasOwn(env, name))
  const answer = await sidecar.hook([
    ...['admit', '--plan', paths.planFile, '--id', launch.requestId, '--request', request.text],
    ...wishes.flatMap((name) => ['--env', `${name}=${env[name]}`]),
  ])
  if (answer.exitCode !== 0) {
    const words = answer.stderr.trim().replace(/^spark-(?:run|hook): /, '')
    throw new ExpectedError('NOT_ADMITTED', words === '' ? 'the guard refused the container without a word' : words, {
      exitCode: EXIT_REFUSED,
    })
  }
  return v.parse(grantSchema, JSON.parse(answer.stdout))
}

/** The image's own variables where it is here already; one that must be pulled first is not asked. */
async function readImageEnv({ cli, scan }: DockerLaunch): Promise<{ image: Record<string, string> }> {
  if (scan.image === undefined) return { image: {} }
  const answer = await cli.ask(['image', 'inspect', '--format', '{{json .Config.Env}}', scan.image])
  const parsed = answer.exitCode === 0 ? v.safeParse(v.array(v.string()), JSON.parse(answer.stdout)) : undefined
  return { image: computeImageEnv(parsed?.success === true ? parsed.output : []) }
}

async function ensureGuardImage(launch: DockerLaunch): Promise<string> {
  const [{ connectAsTheCliDoes }, { buildImage }] = await Promise.all([
    import('./docker-endpoint.js'),
    import('../images/build.js'),
  ])
  const arch = launch.info.architecture === 'aarch64' ? 'aarch64' : 'x86_64'
  return buildImage(await connectAsTheCliDoes(launch.cli, launch.environment), 'guard', {
    nativeDir: nativeBuildDir(arch),
  })
}
