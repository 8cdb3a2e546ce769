import { spawn } from 'node:child_process'
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { findProgram } from '../engines/private-dockerd-needs.js'
import { ExpectedError } from '../errors.js'
import { endProcessByIdentity, type ProcessIdentity, readProcessIdentity } from '../host/process-identity.js'

export interface GuardOptions {
  /** The spark-guard program. */
  readonly binary: string
  readonly runDir: string
  readonly logDir: string
  /** MemAvailable that the guard keeps, in bytes. */
  readonly reserveBytes: number
  /** Memory of this machine that the guard acts as if it did not exist, in bytes; default 0. */
  readonly withholdBytes?: number
  /** Where no container is guilty: the largest one dies for the host, or (default) nobody. */
  readonly onForeign?: 'nothing' | 'kill-largest'
  readonly extraArgs?: readonly string[]
  /** Where its messages go, appended; default `<logDir>/guard.log`. */
  readonly logFile?: string
  /** How long it may take to become ready; default 15 s, since a loaded machine is what it is made for. */
  readonly readyDeadlineMs?: number
}

export interface GuardProcess {
  readonly pid: number
  /** Ends the guard; safe to call twice. */
  stop(): Promise<void>
}

const READY_DEADLINE_MS = 15_000
const READY_FD = 3
const EXIT_STATUS_PATIENCE_MS = 200

/** The guard's command line (docs/formats.md section 9), without its program. */
export function computeGuardArguments(options: GuardOptions): string[] {
  const withhold = options.withholdBytes ?? 0
  return [
    ...['--run-dir', options.runDir, '--log-dir', options.logDir],
    ...['--reserve-bytes', String(options.reserveBytes)],
    ...(withhold > 0 ? ['--withhold-bytes', String(withhold)] : []),
    ...(options.onForeign === 'kill-largest' ? ['--on-foreign', options.onForeign] : []),
    ...(options.extraArgs ?? []),
  ]
}

/**
 * Starts a guard that lives as long as the caller does, and returns once it is ready to kill. For the demo and tests; hosts
 * get a service (`install`).
 *
 * @throws ExpectedError `GUARD_NOT_READY` with the guard's own last words.
 */
export function startGuardProcess(options: GuardOptions): Promise<GuardProcess> {
  const setpriv = findProgram('setpriv')
  const command = [options.binary, ...computeGuardArguments(options), '--ready-fd', String(READY_FD)]
  // Should the caller die without a chance to clean up, the kernel ends the guard for it.
  return launch(setpriv === undefined ? command : [setpriv, '--pdeathsig', 'TERM', ...command], options)
}

/**
 * Starts a guard that outlives the caller and comes back when it dies, for hosts without systemd: `script` is the installed
 * `spark-guard-service`, which takes the directories and the command line of the guard.
 *
 * @returns the supervising process, for the install record.
 * @throws ExpectedError `GUARD_NOT_READY` with the guard's own last words; nothing is left running then.
 */
export async function startSupervisedGuard(script: string, options: GuardOptions): Promise<ProcessIdentity> {
  const started = await launch([script, '--ready-fd', String(READY_FD)], options)
  const identity = readProcessIdentity(started.pid)
  if (identity === undefined) throw notReady(options, 0, 'its supervisor ended at once')
  return identity
}

async function launch(command: readonly string[], options: GuardOptions): Promise<GuardProcess> {
  const logFile = options.logFile ?? path.join(options.logDir, 'guard.log')
  mkdirSync(path.dirname(logFile), { recursive: true })
  const logFd = openSync(logFile, 'a', 0o644)
  const logStart = fstatSync(logFd).size
  const child = spawn(command[0] as string, command.slice(1), {
    // A session of its own: Ctrl-C in the terminal is for the caller, who ends the guard last.
    detached: true,
    cwd: '/',
    stdio: ['ignore', logFd, logFd, 'pipe'],
  })
  closeSync(logFd)
  const failure = await waitUntilReady(child.stdio[READY_FD] as Readable, child, options)
  const identity = child.pid === undefined ? undefined : readProcessIdentity(child.pid)
  child.unref()
  if (failure !== undefined || identity === undefined) {
    if (identity !== undefined) await endProcessByIdentity(identity)
    throw notReady(options, logStart, failure ?? 'it ended at once')
  }
  return {
    pid: identity.pid,
    stop: async () => {
      await endProcessByIdentity(identity)
    },
  }
}

/** @returns undefined once the guard has written to its readiness pipe, else what happened instead. */
function waitUntilReady(
  pipe: Readable,
  child: NodeJS.EventEmitter,
  options: GuardOptions,
): Promise<string | undefined> {
  const deadlineMs = options.readyDeadlineMs ?? READY_DEADLINE_MS
  return new Promise((resolve) => {
    const settle = (failure: string | undefined) => {
      clearTimeout(timer)
      // An open pipe would keep the caller's event loop alive.
      pipe.destroy()
      resolve(failure)
    }
    const timer = setTimeout(() => settle(`it did not become ready within ${deadlineMs / 1000} s`), deadlineMs)
    pipe.once('data', () => settle(undefined))
    pipe.on('error', () => {})
    // The exit status says more and comes at the same moment, except from a supervised guard.
    pipe.once('end', () => setTimeout(() => settle('it ended'), EXIT_STATUS_PATIENCE_MS))
    child.once('error', (error: Error) => settle(error.message))
    child.once('exit', (code: number | null, signal: string | null) =>
      settle(signal === null ? `it ended with exit code ${code}` : `it was ended by ${signal}`),
    )
  })
}

function notReady(options: GuardOptions, logStart: number, failure: string): ExpectedError {
  const logFile = options.logFile ?? path.join(options.logDir, 'guard.log')
  const said = readFileSync(logFile).subarray(logStart).toString('utf8').trim().split('\n')
  const lastWords = said.findLast((line) => !/^spark-guard-(service|supervisor):/.test(line)) ?? ''
  const reason = lastWords === '' ? failure : `${failure} and said: ${lastWords}`
  return new ExpectedError('GUARD_NOT_READY', `the guard (${options.binary}) did not start: ${reason}`, {
    hint: `Its log is ${logFile}.`,
  })
}
