import { existsSync } from 'node:fs'
import path from 'node:path'
import { openDocker } from '../engines/docker/docker-setup.js'
import type { EngineName, EngineSetup } from '../engines/engine.js'
import { checkNextRuntime } from '../engines/next-runtime.js'
import { openPodman } from '../engines/podman/podman-setup.js'
import { ExpectedError } from '../errors.js'
import type { HostPaths } from '../host/paths.js'
import type { Plan } from '../plan/plan.js'
import { readPolicy } from '../plan/policy.js'
import type { FileChange } from './file-change.js'
import { computeGuardService, type GuardService } from './guard-service.js'
import { computePlanFiles } from './plan-files.js'
import { computeProgramFiles } from './program-files.js'
import type { InstallRecord } from './record.js'

export interface InstallOptions {
  readonly engine: EngineName
  readonly paths: HostPaths
  readonly packageVersion: string
  /** Show what would be done, touch nothing. */
  readonly dryRun?: boolean
  readonly nextRuntime?: string | undefined
  readonly reload?: boolean
  readonly daemonJson?: string | undefined
  readonly dockerHost?: string | undefined
  readonly defaultRuntime?: boolean
  /** Where the native parts are; default: this package's for this processor. */
  readonly buildDir?: string
  /** Told each step as it is done. */
  readonly report?: (line: string) => void
  /** Asked once all is known and before anything is changed; false ends it. Default: go on. */
  readonly confirm?: (changes: readonly FileChange[]) => Promise<boolean>
}

/** All that an installation will do, known before anything of it is done. */
export interface Prepared {
  readonly prefix: string
  readonly engine: EngineSetup
  readonly nextRuntime: string
  readonly plan: Plan
  readonly service: GuardService
  readonly sharedChanges: FileChange[]
  readonly engineChanges: FileChange[]
  readonly notes: readonly string[]
}

/**
 * Looks at this machine, the engine, the policy and the native parts, and works out every file.
 *
 * @throws ExpectedError with one sentence for whatever is in the way.
 */
export async function prepare(options: InstallOptions, record: InstallRecord | undefined): Promise<Prepared> {
  const { paths, packageVersion } = options
  const programs = computeProgramFiles(paths, options.buildDir)
  const engine = await openEngine(options)
  const nextRuntime = chooseNextRuntime(options, engine, record)
  const { plan, changes: planChanges } = computePlanFiles(paths, nextRuntime, packageVersion)
  const service = computeGuardService(paths, plan)
  return {
    prefix: paths.prefix,
    engine,
    nextRuntime,
    plan,
    service,
    sharedChanges: [...programs, ...planChanges, ...service.changes],
    engineChanges: engine.computeChanges(nextRuntime),
    notes: [...engine.notes, ...switchedOff(paths, record)],
  }
}

function switchedOff(paths: HostPaths, record: InstallRecord | undefined): string[] {
  const isOurs = record?.shared.changes.some((change) => change.path === paths.disabledFile) === true
  return existsSync(paths.disabledFile) && !isOurs
    ? [`${paths.disabledFile} is there, so spark-run applies nothing until it is removed.`]
    : []
}

async function openEngine(options: InstallOptions): Promise<EngineSetup> {
  if (options.engine === 'podman') return await openPodman(options.paths, 'install')
  return await openDocker({
    paths: options.paths,
    daemonJson: options.daemonJson,
    dockerHost: options.dockerHost,
    reload: options.reload ?? true,
    asDefault: options.defaultRuntime ?? false,
    purpose: 'install',
  })
}

/** Command line, policy, an earlier installation, the engine's own: the first that says something. */
function chooseNextRuntime(options: InstallOptions, engine: EngineSetup, record: InstallRecord | undefined): string {
  const { policyFile, libDir } = options.paths
  const byPolicy = readPolicy(policyFile).nextRuntime
  if (options.nextRuntime !== undefined && byPolicy !== null && byPolicy !== options.nextRuntime) {
    throw new ExpectedError(
      'NEXT_RUNTIME_CONFLICT',
      `--next-runtime says ${options.nextRuntime}, the policy ${policyFile} says "nextRuntime": ${JSON.stringify(byPolicy)}`,
      { hint: 'Leave one of the two out.' },
    )
  }
  const chosen = options.nextRuntime ?? byPolicy ?? record?.nextRuntime ?? engine.ownRuntime?.path
  if (chosen === undefined) {
    throw new ExpectedError(
      'NEXT_RUNTIME_UNKNOWN',
      `cannot find out which OCI runtime ${engine.name} starts containers with`,
      {
        hint: 'Name it, for example: --next-runtime /usr/bin/runc',
      },
    )
  }
  return checkNextRuntime(chosen, path.join(libDir, 'spark-runtime'))
}
