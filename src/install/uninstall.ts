import { existsSync, rmSync } from 'node:fs'
import path from 'node:path'
import { openDocker } from '../engines/docker/docker-setup.js'
import { ENGINE_NAMES, type EngineName, type EngineSetup } from '../engines/engine.js'
import { openPodman } from '../engines/podman/podman-setup.js'
import { ExpectedError } from '../errors.js'
import { readLiveRegistry } from '../guard/registry.js'
import type { HostPaths } from '../host/paths.js'
import { currentHash } from './file-change.js'
import { makeDirectories, removeFile, removeIfEmpty, writeFileAtomically } from './file-state.js'
import { forgetGuardService, stopGuardService } from './guard-service.js'
import { withInstallLock } from './lock.js'
import { type InstallRecord, type RecordedPart, readInstallRecord, writeInstallRecord } from './record.js'
import { refuseWithoutRoot } from './root.js'
import { applyUndo, computeUndo, type UndoStep } from './undo.js'
import { formatChange } from './unified-diff.js'

export interface UninstallOptions {
  /** Engines to take it from; it leaves the host with the last one. */
  readonly engines: readonly EngineName[]
  readonly paths: HostPaths
  /** Containers that need the runtime: leave it as a pass-through that applies nothing. */
  readonly force?: boolean
  readonly dryRun?: boolean
  readonly reload?: boolean
  readonly report?: (line: string) => void
  readonly confirm?: (steps: readonly UndoStep[]) => Promise<boolean>
}

export interface UninstallResult {
  readonly outcome: 'uninstalled' | 'not-installed' | 'pass-through' | 'dry-run' | 'declined'
  readonly engines: readonly EngineName[]
  /** Files that are gone or back to what they were. */
  readonly undone: readonly string[]
  readonly diff: string
  readonly warnings: readonly string[]
  /** Containers that still need the runtime. */
  readonly inUseBy: readonly string[]
}

/**
 * Takes spark-run from engines, and from the host with the last of them. Only what the record says is ours is touched; a file
 * that nobody edited since becomes byte for byte what it was.
 *
 * @throws ExpectedError `RUNTIME_IN_USE` with the containers that could not be started any more; then nothing was changed.
 */
export async function uninstall(options: UninstallOptions): Promise<UninstallResult> {
  const { paths } = options
  if (options.dryRun !== true) refuseWithoutRoot('uninstall')
  if (!existsSync(paths.installRecordFile)) return nothingInstalled(options.engines)
  const work = async () => {
    const record = readInstallRecord(paths.installRecordFile)
    return record === undefined ? nothingInstalled(options.engines) : await performUninstall(options, record)
  }
  return options.dryRun === true ? await work() : await withInstallLock(path.join(paths.stateDir, 'install.lock'), work)
}

async function performUninstall(options: UninstallOptions, record: InstallRecord): Promise<UninstallResult> {
  const { paths, report = () => {} } = options
  const engines = options.engines.filter((name) => record.engines[name] !== undefined)
  const staying = ENGINE_NAMES.filter((name) => record.engines[name] !== undefined && !engines.includes(name))
  // An installation that broke off before it reached an engine has shared files only.
  const isLast = staying.length === 0
  if (engines.length === 0 && !isLast) return nothingInstalled(options.engines)

  const setups = await Promise.all(engines.map((name) => openRecorded(name, record, options)))
  const inUseBy = await listUse(setups, engines, isLast, paths)
  if (inUseBy.length > 0 && options.dryRun !== true) {
    if (options.force !== true) throw inUse(inUseBy)
    return await becomePassThrough({ options, record, engines, staying, inUseBy })
  }

  const parts = engines.flatMap((name) => record.engines[name] ?? [])
  const steps = [...parts, ...(isLast ? [record.shared] : [])].flatMap(computeUndo)
  const result = {
    engines,
    undone: steps.filter((step) => step.after !== step.before).map((step) => step.path),
    diff: steps.map(formatUndo).join(''),
    warnings: steps.flatMap((step) => step.warning ?? []),
    inUseBy,
  }
  if (options.dryRun === true) return { outcome: 'dry-run', ...result }
  if ((await options.confirm?.(steps)) === false) return { outcome: 'declined', ...result }

  let left = record
  for (const setup of setups) {
    const part = left.engines[setup.name]
    if (part === undefined) continue
    // The engine's files go first: a hook whose program is missing would be skipped without a word.
    applyUndo(computeUndo(part), part)
    left = { ...left, engines: { ...left.engines, [setup.name]: undefined } }
    writeInstallRecord(paths.installRecordFile, left)
    const name = setup.name === 'docker' ? 'Docker' : 'Podman'
    report(`${name}: put back or removed ${part.changes.map((change) => change.path).join(', ')}`)
    report(await setup.deactivate())
  }
  const kept = isLast ? await removeShared(left, paths, report) : []
  return { outcome: 'uninstalled', ...result, warnings: [...result.warnings, ...kept] }
}

async function removeShared(
  record: InstallRecord,
  paths: HostPaths,
  report: (line: string) => void,
): Promise<string[]> {
  if (record.guard !== null) await stopGuardService(record.guard)
  report('Guard: ended')
  // Runtime state only: registry, ledgers, tombstones, the guard's lock.
  rmSync(paths.runDir, { recursive: true, force: true })
  rmSync(path.join(paths.logDir, 'guard.log'), { force: true })
  applyUndo(computeUndo(record.shared), record.shared)
  if (record.guard !== null) await forgetGuardService(record.guard)
  report(`Programs, libraries and plan: gone from ${paths.libDir} and ${paths.etcDir}`)
  removeFile(paths.installRecordFile)
  removeFile(path.join(paths.stateDir, 'install.lock'))
  for (const directory of record.shared.directories.toReversed()) removeIfEmpty(directory)
  return existsSync(paths.eventsFile)
    ? [`${paths.eventsFile} tells what the guard did and stays; remove it when you like`]
    : []
}

interface PassThrough {
  readonly options: UninstallOptions
  readonly record: InstallRecord
  readonly engines: readonly EngineName[]
  readonly staying: readonly EngineName[]
  readonly inUseBy: readonly string[]
}

/** The runtime stays so that those containers can be started, but does nothing any more; the guard ends. */
async function becomePassThrough({
  options,
  record,
  engines,
  staying,
  inUseBy,
}: PassThrough): Promise<UninstallResult> {
  const { paths, report = () => {} } = options
  if (staying.length > 0) {
    throw new ExpectedError(
      'OTHER_ENGINE_STAYS',
      `a pass-through would switch spark-run off for ${staying.join(' and ')} too, which would stay installed`,
      { hint: 'Remove the containers, or take all engines at once: spark-run uninstall --all --force' },
    )
  }
  let left = record
  if (!existsSync(paths.disabledFile)) {
    const directories = makeDirectories(path.dirname(paths.disabledFile))
    const content = Buffer.from(
      'Written by spark-run uninstall --force: the runtime hands containers over and applies nothing.\n',
    )
    writeFileAtomically(paths.disabledFile, { content, mode: 0o644, uid: 0, gid: 0 })
    left = withDisabledFile(record, paths, directories)
  }
  const podman = left.engines.podman
  if (podman !== undefined) {
    // Podman's hook needs no container to stay; its list of runtimes does.
    const hook = podman.changes.filter((change) => change.path.endsWith('.json'))
    applyUndo(computeUndo({ ...podman, changes: hook }), { ...podman, directories: [] })
  }
  if (left.guard !== null) await stopGuardService(left.guard)
  writeInstallRecord(paths.installRecordFile, { ...left, guard: null })
  report(
    `${paths.disabledFile} written: the runtime hands over to ${record.nextRuntime} and applies nothing; the guard ended`,
  )
  const hint = `When ${inUseBy.join(', ')} ${inUseBy.length === 1 ? 'is' : 'are'} removed: spark-run uninstall ${engines.length > 1 ? '--all' : engines[0]}`
  return { outcome: 'pass-through', engines, undone: [], diff: '', warnings: [hint], inUseBy }
}

function withDisabledFile(record: InstallRecord, paths: HostPaths, directories: string[]): InstallRecord {
  const change = {
    what: 'switch',
    path: paths.disabledFile,
    beforeSha256: null,
    afterSha256: currentHash(paths.disabledFile) ?? '',
    backup: null,
    ifEdited: { kind: 'remove' as const },
  }
  const shared: RecordedPart = {
    ...record.shared,
    changes: [...record.shared.changes, change],
    directories: [...record.shared.directories, ...directories],
  }
  return { ...record, shared }
}

async function openRecorded(name: EngineName, record: InstallRecord, options: UninstallOptions): Promise<EngineSetup> {
  const docker = record.engines.docker
  if (name === 'podman' || docker === undefined) return await openPodman(options.paths, 'uninstall')
  return await openDocker({
    paths: options.paths,
    daemonJson: docker.daemonJson,
    dockerHost: docker.dockerHost ?? undefined,
    reload: options.reload ?? true,
    asDefault: false,
    purpose: 'uninstall',
  })
}

/** Containers that were created with the runtime, and with the last engine also whatever runs under our care. */
async function listUse(
  setups: readonly EngineSetup[],
  engines: readonly EngineName[],
  isLast: boolean,
  paths: HostPaths,
): Promise<string[]> {
  const created = (await Promise.all(setups.map((setup) => setup.listContainersUsingUs()))).flat()
  const live = await readLiveRegistry(paths.registryDir)
  const running = live
    .filter((entry) => isLast || engines.some((name) => name === entry.engine))
    .map((entry) => entry.name ?? entry.id.slice(0, 12))
  return [...new Set([...created, ...running])].sort()
}

function inUse(names: readonly string[]): ExpectedError {
  const many = names.length > 1
  return new ExpectedError(
    'RUNTIME_IN_USE',
    `${names.length} container${many ? 's' : ''} could not be started any more without the runtime: ${names.join(', ')}`,
    {
      hint: `Remove ${many ? 'them' : 'it'} first, or leave a pass-through that applies nothing: add --force.`,
    },
  )
}

function formatUndo(step: UndoStep): string {
  if (step.after === step.before) return ''
  if (step.after === undefined) return `removed: ${step.path}\n`
  return formatChange({
    what: step.what,
    path: step.path,
    before: step.before,
    after: step.after,
    ifEdited: { kind: 'keep' },
  })
}

function nothingInstalled(engines: readonly EngineName[]): UninstallResult {
  return { outcome: 'not-installed', engines, undone: [], diff: '', warnings: [], inUseBy: [] }
}
