import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'

/** Exit codes of a shell for a program that is not there, or cannot be run. */
const EXIT_NOT_FOUND = 127
const EXIT_NOT_EXECUTABLE = 126

const ALWAYS_FORWARDED = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const
// The kernel sends these to the whole foreground group of a terminal, so the child has them already.
const FROM_THE_TERMINAL = ['SIGINT', 'SIGQUIT', 'SIGWINCH'] as const

/** In what a program differs from us; by default in nothing. */
export interface ChildDifferences {
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  /** Where its stdout goes: ours, or our stderr. */
  readonly stdout?: 'stdout' | 'stderr'
}

/** A program that could not be started at all. */
export interface NotStarted {
  readonly exitCode: typeof EXIT_NOT_FOUND | typeof EXIT_NOT_EXECUTABLE
  readonly error: NodeJS.ErrnoException
}

/**
 * Runs a program in our place: it has our terminal, stdin, stdout, stderr, environment and process group, gets the signals
 * meant for us, and is waited for. We outlive it, whatever arrives.
 *
 * @param onStarted called once with the running child.
 * @returns its exit code, 128 + n where signal n ended it, or why it did not start.
 */
export function runInOurPlace(
  command: string,
  args: readonly string[],
  onStarted?: (child: ChildProcess) => void,
  { stdout = 'stdout', ...differences }: ChildDifferences = {},
): Promise<number | NotStarted> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { ...differences, stdio: ['inherit', stdout === 'stdout' ? 1 : 2, 'inherit'] })
    const handlers = new Map<NodeJS.Signals, () => void>()
    for (const signal of ALWAYS_FORWARDED) handlers.set(signal, () => child.kill(signal))
    for (const signal of FROM_THE_TERMINAL) {
      handlers.set(signal, () => {
        if (!inTerminalForeground()) child.kill(signal)
      })
    }
    for (const [signal, handler] of handlers) process.on(signal, handler)
    const settle = (result: number | NotStarted) => {
      for (const [signal, handler] of handlers) process.off(signal, handler)
      resolve(result)
    }
    // `error` without a pid means that it never ran; `exit` will not follow then.
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (child.pid === undefined) settle({ exitCode: notStartedCode(error), error })
    })
    child.once('exit', (code, signal) => settle(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
    if (child.pid !== undefined) onStarted?.(child)
  })
}

function notStartedCode(error: NodeJS.ErrnoException): NotStarted['exitCode'] {
  return error.code === 'ENOENT' ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE
}

/**
 * True while our process group is the foreground one of a terminal. Asked for at the moment of the signal, because a
 * shell moves us between foreground and background; stdin being a terminal or not says nothing about it.
 */
function inTerminalForeground(statFile = '/proc/self/stat'): boolean {
  try {
    const stat = readFileSync(statFile, 'utf8')
    const [, , group, , terminal, foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return terminal !== '0' && group === foreground
  } catch {
    return process.stdin.isTTY === true
  }
}
