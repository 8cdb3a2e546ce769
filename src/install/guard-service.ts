import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { execa } from 'execa'
import { ExpectedError } from '../errors.js'
import { computeGuardArguments, type GuardOptions, startSupervisedGuard } from '../guard/process.js'
import type { HostPaths } from '../host/paths.js'
import { endProcessByIdentity, isRunning } from '../host/process-identity.js'
import type { Plan } from '../plan/plan.js'
import { computeOwnFile, type FileChange } from './file-change.js'
import type { RecordedGuard } from './record.js'
import { readTemplate } from './templates.js'

const UNIT = 'spark-guard.service'
const UNIT_FILE = `/etc/systemd/system/${UNIT}`
const SYSTEMCTL_TIMEOUT_MS = 60_000

/** The guard as a service of this host. */
export interface GuardService {
  readonly kind: RecordedGuard['kind']
  readonly changes: FileChange[]
  /**
   * Starts it, or starts it anew where its program or its numbers changed; returns once it is ready.
   *
   * @throws ExpectedError with the guard's own last words.
   */
  start(previous: RecordedGuard | null, changed: boolean): Promise<RecordedGuard>
}

/**
 * The service of this host: systemd's where it runs, else a process that starts the guard again when it dies. Under a
 * prefix always the latter: a rehearsal leaves the host's services alone.
 */
export function computeGuardService(paths: HostPaths, plan: Plan, systemdDir = '/run/systemd/system'): GuardService {
  const options: GuardOptions = {
    binary: path.join(paths.libDir, 'spark-guard'),
    runDir: paths.runDir,
    logDir: paths.logDir,
    reserveBytes: plan.host.reserveBytes,
    withholdBytes: plan.host.withholdBytes,
    onForeign: plan.onForeign,
  }
  return paths.prefix === '' && existsSync(systemdDir)
    ? systemdService(paths, computeGuardArguments(options))
    : supervisedService(paths, options)
}

function systemdService(paths: HostPaths, args: readonly string[]): GuardService {
  const unit = computeOwnFile({
    what: 'service of the guard',
    path: UNIT_FILE,
    content: readTemplate('systemd/spark-guard.service', {
      LIB_DIR: paths.libDir,
      ETC_DIR: paths.etcDir,
      GUARD_ARGS: args.join(' '),
    }),
    mode: 0o644,
    ifEdited: { kind: 'remove' },
  })
  return {
    kind: 'systemd',
    changes: [unit],
    start: async (_, changed) => {
      await systemctl('daemon-reload')
      await systemctl('enable', '--quiet', UNIT)
      await systemctl(changed ? 'restart' : 'start', UNIT)
      return { kind: 'systemd', unit: UNIT }
    },
  }
}

function supervisedService(paths: HostPaths, options: GuardOptions): GuardService {
  const file = path.join(paths.libDir, 'spark-guard-service')
  const shell = (text: string) => text.replaceAll("'", "'\\''")
  const script = computeOwnFile({
    what: 'service of the guard',
    path: file,
    content: readTemplate('guard/spark-guard-service', {
      LIB_DIR: shell(paths.libDir),
      RUN_DIR: shell(paths.runDir),
      LOG_DIR: shell(paths.logDir),
      GUARD_ARGS: computeGuardArguments(options)
        .map((arg) => `'${shell(arg)}'`)
        .join(' '),
    }),
    mode: 0o755,
    ifEdited: { kind: 'remove' },
  })
  return {
    kind: 'process',
    changes: [script],
    start: async (previous, changed) => {
      if (!changed && previous !== null && isGuardRunning(previous)) return previous
      if (previous !== null) await stopGuardService(previous)
      const { pid, startTicks } = await startSupervisedGuard(file, options)
      return { kind: 'process', pid, startTicks, bootId: bootId() }
    },
  }
}

/** Ends the guard of an installation; one that does not run any more is fine. */
export async function stopGuardService(guard: RecordedGuard): Promise<void> {
  if (guard.kind === 'systemd') await systemctl('disable', '--quiet', '--now', guard.unit)
  else if (guard.bootId === bootId()) await endProcessByIdentity(guard)
}

/** After the unit file is gone. */
export async function forgetGuardService(guard: RecordedGuard): Promise<void> {
  if (guard.kind === 'systemd') await systemctl('daemon-reload')
}

function isGuardRunning(guard: RecordedGuard): boolean {
  return guard.kind === 'process' && guard.bootId === bootId() && isRunning(guard)
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
}

async function systemctl(...args: string[]): Promise<void> {
  const { exitCode, stderr } = await execa('systemctl', args, {
    reject: false,
    timeout: SYSTEMCTL_TIMEOUT_MS,
    stdin: 'ignore',
  })
  if (exitCode === 0) return
  throw new ExpectedError(
    'SYSTEMCTL_FAILED',
    `systemctl ${args.join(' ')} failed: ${(stderr ?? '').trim() || `exit code ${exitCode}`}`,
    {
      hint: `See: journalctl -u ${UNIT} -n 20`,
    },
  )
}
