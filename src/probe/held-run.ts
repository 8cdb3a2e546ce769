import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import path from 'node:path'
import { ExpectedError } from '../errors.js'
import { type LedgerHeader, readLedgerHeader } from '../host/ledger.js'
import { nativeBuildDir } from '../host/package-files.js'
import { type NotStarted, runInOurPlace } from '../launch/child.js'
import { holdPages, putBefore, simulatorEnvironment } from './simulator.js'
import type { HeldSizes } from './sizes.js'
import { followTrace } from './trace-file.js'
import type { TraceLine } from './trace-line.js'

export interface HeldRun {
  readonly sizes: HeldSizes
  /** Program and arguments. */
  readonly command: readonly string[]
  readonly environment: Readonly<NodeJS.ProcessEnv>
  /** Where the program's stdout goes. */
  readonly stdout: 'stdout' | 'stderr'
  /** Called for each call of the shim, in order; absent = nobody wants to know. */
  readonly onLine?: ((line: TraceLine) => void) | undefined
  readonly onStarted?: ((pid: number) => void) | undefined
}

export interface HeldRunResult {
  /** The program's own; 128 + n where signal n ended it; 126 or 127 where it could not be run. */
  readonly exitCode: number
  /** Why it could not be run. */
  readonly notStarted: string | undefined
  /** What its ledger said at the end. */
  readonly ledger: LedgerHeader | undefined
}

const INTERRUPTS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const

/**
 * Runs a program under the shim with a ledger of its own, without a container; what was made for it is gone afterwards. It
 * has our stdin, terminal, process group and working directory.
 *
 * @throws ExpectedError where the native parts are missing, or the simulator cannot have its pages.
 */
export async function runHeld(run: HeldRun): Promise<HeldRunResult> {
  let interrupt: NodeJS.Signals | undefined
  const note = (signal: NodeJS.Signals) => {
    interrupt ??= signal
  }
  // From here on an interrupt ends the program, and us only after everything is put back.
  for (const signal of INTERRUPTS) process.on(signal, note)
  const undo: (() => void)[] = []
  try {
    const environment = prepare(run, undo)
    if (interrupt !== undefined)
      return { exitCode: 128 + constants.signals[interrupt], notStarted: undefined, ledger: undefined }
    return await runPrepared(run, environment)
  } finally {
    for (const step of undo.reverse()) step()
    for (const signal of INTERRUPTS) process.off(signal, note)
  }
}

interface Prepared {
  readonly env: NodeJS.ProcessEnv
  readonly ledgerFile: string
  readonly traceFile: string | undefined
}

function prepare({ sizes, environment, onLine }: HeldRun, undo: (() => void)[]): Prepared {
  const nativeDir = nativeBuildDir()
  const shim = path.join(nativeDir, 'libspark-shim.so')
  if (!existsSync(shim)) {
    throw new ExpectedError('NOT_BUILT', `there is no ${shim}: the native parts are not built for this machine`, {
      hint: 'Build them: npm run build',
    })
  }
  if (/[\s:]/.test(shim)) {
    throw new ExpectedError(
      'PATH_UNUSABLE',
      `the loader cannot preload from a path with a space or a colon in it, and the shim is ${shim}: move this copy of spark-run elsewhere`,
    )
  }
  const simulator = sizes.simBytes === undefined ? {} : simulatorEnvironment(sizes.simBytes, environment)
  if (sizes.simBytes !== undefined) holdPages(Math.min(sizes.budgetBytes, sizes.simBytes), environment, undo)
  const dir = mkdtempSync(path.join(tmpdir(), 'spark-run-shim-'))
  undo.push(() => rmSync(dir, { recursive: true, force: true }))
  // The program may become another user (setpriv, sudo): it must still get at its ledger and trace.
  chmodSync(dir, 0o711)
  const ledgerFile = path.join(dir, 'ledger')
  makeLedger(path.join(nativeDir, 'spark-hook'), ledgerFile, sizes)
  const traceFile = onLine === undefined ? undefined : path.join(dir, 'trace')
  if (traceFile !== undefined) {
    writeFileSync(traceFile, '')
    chmodSync(traceFile, 0o622)
  }
  return {
    env: {
      ...environment,
      ...simulator,
      LD_PRELOAD: putBefore(environment.LD_PRELOAD, shim),
      SPARK_RUN_LEDGER: ledgerFile,
      ...(traceFile === undefined ? {} : { SPARK_RUN_TRACE: traceFile }),
    },
    ledgerFile,
    traceFile,
  }
}

function makeLedger(hook: string, file: string, { budgetBytes, reserveBytes }: HeldSizes): void {
  execFileSync(
    hook,
    ['ledger', '--file', file, '--budget-bytes', String(budgetBytes), '--reserve-bytes', String(reserveBytes)],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  )
}

async function runPrepared(run: HeldRun, { env, ledgerFile, traceFile }: Prepared): Promise<HeldRunResult> {
  const [program = '', ...args] = run.command
  const stopFollowing = traceFile === undefined || !run.onLine ? () => {} : followTrace(traceFile, run.onLine)
  try {
    const result = await runInOurPlace(
      program,
      args,
      (child) => {
        if (child.pid !== undefined) run.onStarted?.(child.pid)
      },
      { env, stdout: run.stdout },
    )
    const ledger = readLedgerHeader(ledgerFile)
    if (typeof result === 'number') return { exitCode: result, notStarted: undefined, ledger }
    return { exitCode: result.exitCode, notStarted: notStartedSentence(program, result), ledger }
  } finally {
    stopFollowing()
  }
}

function notStartedSentence(program: string, { error }: NotStarted): string {
  const shown = JSON.stringify(program)
  switch (error.code) {
    case 'ENOENT':
      return program.includes('/')
        ? `${shown} cannot be run: it is not there, or the interpreter that it names is not`
        : `${shown} is not in the directories of PATH: give its path, or install it`
    case 'EACCES':
      return `${shown} may not be executed: it is a directory, or lacks the permission (chmod +x)`
    default:
      return `${shown} could not be started: ${error.message}`
  }
}
