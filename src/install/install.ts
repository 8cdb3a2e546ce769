import { rmSync } from 'node:fs'
import path from 'node:path'
import type { DockerSetup } from '../engines/docker/docker-setup.js'
import type { EngineName, EngineSetup } from '../engines/engine.js'
import { ExpectedError } from '../errors.js'
import type { HostPaths } from '../host/paths.js'
import { formatBytes } from '../plan/size.js'
import { beginTransaction, computePart, type Transaction } from './apply.js'
import { type FileChange, isApplied } from './file-change.js'
import { makeDirectories, removeFile, removeIfEmpty } from './file-state.js'
import { type GuardService, stopGuardService } from './guard-service.js'
import { withInstallLock } from './lock.js'
import { type InstallOptions, type Prepared, prepare } from './prepare.js'
import {
  type InstallRecord,
  newInstallRecord,
  type RecordedGuard,
  readInstallRecord,
  writeInstallRecord,
} from './record.js'
import { keepRecord, type RecordKeeper } from './record-keeper.js'
import { refuseWithoutRoot } from './root.js'
import { formatChange } from './unified-diff.js'

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
  /** The command that undoes it. */
  readonly undo: string
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
  const { options, transaction, previous, prepared } = work
  const { paths } = options
  const { engine, sharedChanges, engineChanges } = prepared
  const step = stepReporter(work.report)
  step(`This machine: ${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}, ${engine.name}, native parts are built`)
  step(`Containers are handed over to ${prepared.nextRuntime}`)

  const keeper = keepRecord(paths.installRecordFile, previous ?? newInstallRecord(paths.prefix))
  const part = describeEngine(engine, engineChanges, previous)
  // The record comes first: whatever happens from here on, uninstall knows what to look for.
  keeper.update({
    generator: `spark-run ${options.packageVersion}`,
    nextRuntime: prepared.nextRuntime,
    shared: computePart(sharedChanges, previous?.shared),
    engines: { ...keeper.current.engines, [engine.name]: part },
  })
  keeper.addDirectories('shared', work.madeStateDirs)

  restartOldGuardOnRollback(work, keeper)
  keeper.addDirectories('shared', transaction.apply(sharedChanges, keeper.current.shared))
  step(`Programs, libraries, policy and plan: ${countChanges(sharedChanges)} (${paths.libDir}, ${paths.etcDir})`)

  const runDirs = [paths.registryDir, paths.ledgerDir, paths.tombstoneDir]
  const directories = transaction.makeDirectories([...runDirs, paths.logDir])
  keeper.addDirectories('shared', directories)
  const guard = await startGuard(work, directories.includes(paths.logDir))
  keeper.update({ guard })
  const service = guard.kind === 'systemd' ? 'systemd service spark-guard' : `process ${guard.pid}`
  step(`Guard: ${service}, ready; it keeps ${formatBytes(prepared.plan.host.reserveBytes)} free for the host`)

  const isNew = engineChanges.some((change) => !isApplied(change))
  if (isNew) transaction.onRollback(async () => void (await engine.deactivate()))
  keeper.addDirectories(engine.name, transaction.apply(engineChanges, part))
  const files = engineChanges.map((change) => change.path).join(', ')
  step(`${engine.name === 'docker' ? 'Docker' : 'Podman'}: ${countChanges(engineChanges)} (${files})`)

  step(await engine.activate())
  keeper.update(liftPassThrough(keeper.current, paths))
  keeper.complete(engine.name)
  const changed = [...sharedChanges, ...engineChanges].some((change) => !isApplied(change))
  return describeResult(changed ? 'installed' : 'unchanged', prepared)
}

/** Runs last of all, when the old program is back in its place: a failed renewal must not leave the host unguarded. */
function restartOldGuardOnRollback({ transaction, previous, prepared }: Work, keeper: RecordKeeper): void {
  const old = previous?.guard
  if (previous === undefined || old == null) return
  transaction.onRollback(async () => {
    previous.guard = await prepared.service.start(old, keeper.current.guard !== old)
  })
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
    undo: `spark-run uninstall ${prepared.engine.name}${prepared.prefix === '' ? '' : ` --prefix ${prepared.prefix}`}`,
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
