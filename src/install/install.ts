import { existsSync, rmSync } from 'node:fs'
import path from 'node:path'
import { type DockerSetup, openDocker } from '../engines/docker/docker-setup.js'
import type { EngineName, EngineSetup } from '../engines/engine.js'
import { checkNextRuntime } from '../engines/next-runtime.js'
import { openPodman } from '../engines/podman/podman-setup.js'
import { ExpectedError } from '../errors.js'
import type { HostPaths } from '../host/paths.js'
import type { Plan } from '../plan/plan.js'
import { readPolicy } from '../plan/policy.js'
import { formatBytes } from '../plan/size.js'
import { beginTransaction, computePart, type Transaction } from './apply.js'
import { type FileChange, isApplied } from './file-change.js'
import { makeDirectories, removeFile, removeIfEmpty } from './file-state.js'
import { computeGuardService, type GuardService, stopGuardService } from './guard-service.js'
import { withInstallLock } from './lock.js'
import { computePlanFiles } from './plan-files.js'
import { computeProgramFiles } from './program-files.js'
import {
  type InstallRecord,
  newInstallRecord,
  type RecordedGuard,
  readInstallRecord,
  writeInstallRecord,
} from './record.js'
import { refuseWithoutRoot } from './root.js'
import { formatChange } from './unified-diff.js'

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

export interface InstallResult {
  readonly outcome: 'installed' | 'unchanged' | 'dry-run' | 'declined'
  readonly engine: EngineName
  readonly nextRuntime: string
  readonly guard: GuardService['kind']
  readonly changes: readonly { what: string; path: string; change: 'created' | 'edited' | 'none' }[]
  /** Unified diff of every file that would be or was changed. */
  readonly diff: string
  readonly notes: readonly string[]
  readonly tryIt: string
}

const STEPS = 6

/**
 * Puts spark-run on this host, or under a prefix, and configures one engine to use it. Can be repeated: what is in place
 * stays, what is old is renewed. Either all of it comes about or nothing.
 *
 * @throws ExpectedError with one sentence for whatever is in the way; then nothing was changed.
 */
export async function install(options: InstallOptions): Promise<InstallResult> {
  if (options.dryRun === true) return await describeInstall(options)
  refuseWithoutRoot('install')
  const { stateDir } = options.paths
  const made = makeDirectories(stateDir)
  return await withInstallLock(path.join(stateDir, 'install.lock'), () => performInstall(options, made))
}

interface Prepared {
  readonly engine: EngineSetup
  readonly nextRuntime: string
  readonly plan: Plan
  readonly service: GuardService
  readonly sharedChanges: FileChange[]
  readonly engineChanges: FileChange[]
  readonly notes: readonly string[]
}

async function prepare(options: InstallOptions, record: InstallRecord | undefined): Promise<Prepared> {
  const { paths, packageVersion } = options
  const programs = computeProgramFiles(paths, options.buildDir)
  const engine = await openEngine(options)
  const nextRuntime = chooseNextRuntime(options, engine, record)
  const { plan, changes: planChanges } = computePlanFiles(paths, nextRuntime, packageVersion)
  const service = computeGuardService(paths, plan)
  return {
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

async function describeInstall(options: InstallOptions): Promise<InstallResult> {
  const prepared = await prepare(options, readInstallRecord(options.paths.installRecordFile))
  return describeResult('dry-run', prepared)
}

async function performInstall(options: InstallOptions, madeStateDirs: string[]): Promise<InstallResult> {
  const { paths, report = () => {} } = options
  const undoEmptyState = () => {
    // A refusal leaves not even the directory of the lock behind.
    if (madeStateDirs.length > 0) removeStateDirs(paths, madeStateDirs)
  }
  const transaction = beginTransaction()
  let previous: InstallRecord | undefined
  let prepared: Prepared
  try {
    previous = readInstallRecord(paths.installRecordFile)
    prepared = await prepare(options, previous)
    const changes = [...prepared.sharedChanges, ...prepared.engineChanges]
    if ((await options.confirm?.(changes)) === false) {
      undoEmptyState()
      return describeResult('declined', prepared)
    }
  } catch (error) {
    undoEmptyState()
    throw error
  }
  try {
    return await makeChanges({ options, transaction, previous, prepared, madeStateDirs, report })
  } catch (error) {
    report('Taking everything back …')
    const failures = await transaction.rollback()
    if (previous !== undefined) writeInstallRecord(paths.installRecordFile, previous)
    else if (failures.length === 0) {
      removeFile(paths.installRecordFile)
      undoEmptyState()
    }
    throw withOutcome(error, failures, paths)
  }
}

interface Work {
  readonly options: InstallOptions
  readonly transaction: Transaction
  readonly previous: InstallRecord | undefined
  readonly prepared: Prepared
  readonly madeStateDirs: readonly string[]
  readonly report: (line: string) => void
}

async function makeChanges(work: Work): Promise<InstallResult> {
  const { options, transaction, previous, prepared, report } = work
  const { paths } = options
  const { engine, service } = prepared
  const step = stepReporter(report)
  step(`This machine: ${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}, ${engine.name}, native parts are built`)
  step(`Containers are handed over to ${prepared.nextRuntime}`)

  let record = previous ?? newInstallRecord('', paths.prefix, prepared.nextRuntime)
  record = {
    ...record,
    generator: `spark-run ${options.packageVersion}`,
    nextRuntime: prepared.nextRuntime,
    shared: computePart(prepared.sharedChanges, previous?.shared),
    engines: { ...record.engines, [engine.name]: describeEngine(engine, prepared.engineChanges, previous) },
  }
  const save = () => writeInstallRecord(paths.installRecordFile, record)
  const withShared = (directories: readonly string[]) => {
    record = { ...record, shared: { ...record.shared, directories: [...record.shared.directories, ...directories] } }
    save()
  }
  // The record comes first: whatever happens from here on, uninstall knows what to look for.
  withShared(work.madeStateDirs)

  const oldGuard = previous?.guard
  if (previous !== undefined && oldGuard != null) {
    // Runs last of all, when the old program is back in its place: a failed renewal must not leave the host unguarded.
    transaction.onRollback(async () => {
      previous.guard = await service.start(oldGuard, record.guard !== oldGuard)
    })
  }
  const programs = prepared.sharedChanges
  withShared(transaction.apply(programs, record.shared))
  step(`Programs, libraries, policy and plan: ${countChanges(programs)} (${paths.libDir}, ${paths.etcDir})`)
  const directories = transaction.makeDirectories([
    ...[paths.registryDir, paths.ledgerDir, paths.tombstoneDir],
    paths.logDir,
  ])
  withShared(directories)

  const guard = await startGuard(work, directories.includes(paths.logDir))
  record = { ...record, guard }
  save()
  const held = formatBytes(prepared.plan.host.reserveBytes)
  step(
    `Guard: ${service.kind === 'systemd' ? 'systemd service spark-guard' : `process ${guard.kind === 'process' ? guard.pid : ''}`}, ready; it keeps ${held} free for the host`,
  )

  const engineChanged = prepared.engineChanges.some((change) => !isApplied(change))
  if (engineChanged) transaction.onRollback(async () => void (await engine.deactivate()))
  const part = record.engines[engine.name]
  if (part === undefined) throw new Error(`no record for ${engine.name}`)
  const engineDirectories = transaction.apply(prepared.engineChanges, part)
  record = {
    ...record,
    engines: {
      ...record.engines,
      [engine.name]: { ...part, directories: [...part.directories, ...engineDirectories] },
    },
  }
  save()
  step(
    `${engine.name === 'docker' ? 'Docker' : 'Podman'}: ${countChanges(prepared.engineChanges)} (${prepared.engineChanges.map((change) => change.path).join(', ')})`,
  )

  step(await engine.activate())
  const done = record.engines[engine.name]
  record = liftPassThrough(record, paths)
  record = {
    ...record,
    shared: { ...record.shared, complete: true },
    engines: { ...record.engines, [engine.name]: { ...done, complete: true } },
  }
  save()
  const changed = [...prepared.sharedChanges, ...prepared.engineChanges].some((change) => !isApplied(change))
  return describeResult(changed ? 'installed' : 'unchanged', prepared)
}

async function startGuard(work: Work, madeLogDir: boolean): Promise<RecordedGuard> {
  const { transaction, previous, prepared, options } = work
  const { runDir, logDir } = options.paths
  const { service, sharedChanges } = prepared
  if (previous === undefined) transaction.onRollback(async () => rmSync(runDir, { recursive: true, force: true }))
  const isRenewed = sharedChanges.some((change) => isGuardFile(change, service) && !isApplied(change))
  const guard = await service.start(previous?.guard ?? null, isRenewed)
  if (previous?.guard == null || !sameGuard(previous.guard, guard)) {
    transaction.onRollback(async () => {
      await stopGuardService(guard)
      // A guard that did not start leaves its log to be read; this one has nothing to tell.
      if (madeLogDir) rmSync(logDir, { recursive: true, force: true })
    })
  }
  return guard
}

/** Ends what `uninstall --force` began: the runtime applies plans again. A switch that the owner set stays. */
function liftPassThrough(record: InstallRecord, paths: HostPaths): InstallRecord {
  const isSwitch = ({ path: file }: { path: string }) => file === paths.disabledFile
  if (!record.shared.changes.some(isSwitch)) return record
  removeFile(paths.disabledFile)
  const changes = record.shared.changes.filter((change) => !isSwitch(change))
  return { ...record, shared: { ...record.shared, changes } }
}

function describeEngine(engine: EngineSetup, changes: readonly FileChange[], previous: InstallRecord | undefined) {
  const part = computePart(changes, previous?.engines[engine.name])
  if (engine.name === 'podman') return part
  const { daemonJson, dockerHost } = engine as DockerSetup
  return { ...part, daemonJson, dockerHost }
}

function isGuardFile(change: FileChange, service: GuardService): boolean {
  return path.basename(change.path) === 'spark-guard' || service.changes.includes(change)
}

function sameGuard(a: RecordedGuard, b: RecordedGuard): boolean {
  return a.kind === 'systemd' ? b.kind === 'systemd' : b.kind === 'process' && a.pid === b.pid
}

function stepReporter(report: (line: string) => void): (text: string) => void {
  let number = 0
  return (text) => {
    number += 1
    report(`[${number}/${STEPS}] ${text}`)
  }
}

function countChanges(changes: readonly FileChange[]): string {
  const created = changes.filter((change) => change.before === undefined).length
  const edited = changes.filter((change) => change.before !== undefined && !isApplied(change)).length
  const parts = [
    ...(created > 0 ? [`${created} new`] : []),
    ...(edited > 0 ? [`${edited} changed`] : []),
    ...(created + edited < changes.length ? [`${changes.length - created - edited} as they should be`] : []),
  ]
  return parts.join(', ')
}

function describeResult(outcome: InstallResult['outcome'], prepared: Prepared): InstallResult {
  const changes = [...prepared.sharedChanges, ...prepared.engineChanges]
  return {
    outcome,
    engine: prepared.engine.name,
    nextRuntime: prepared.nextRuntime,
    guard: prepared.service.kind,
    changes: changes.map((change) => ({
      what: change.what,
      path: change.path,
      change: isApplied(change) ? 'none' : change.before === undefined ? 'created' : 'edited',
    })),
    diff: changes.map(formatChange).join(''),
    notes: prepared.notes,
    tryIt: prepared.engine.tryIt,
  }
}

function removeStateDirs(paths: HostPaths, made: readonly string[]): void {
  removeFile(path.join(paths.stateDir, 'install.lock'))
  for (const directory of made.toReversed()) removeIfEmpty(directory)
}

function withOutcome(error: unknown, failures: readonly string[], paths: HostPaths): unknown {
  if (!(error instanceof ExpectedError)) return error
  const outcome =
    failures.length === 0
      ? 'Nothing was changed: what had been done was taken back.'
      : `Not everything could be taken back (${failures.join('; ')}); ${paths.installRecordFile} tells what was changed, and spark-run uninstall tries again.`
  const hint = error.hint === undefined ? outcome : `${error.hint}\n${outcome}`
  return new ExpectedError(error.code, error.message, { hint, exitCode: error.exitCode, cause: error })
}
