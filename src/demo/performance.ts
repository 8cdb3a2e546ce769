import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Performance } from './stage.js'

export interface PerformanceOptions {
  /** Program and arguments. */
  readonly argv: readonly [string, ...string[]]
  readonly env: NodeJS.ProcessEnv
  /** What a person would have typed. */
  readonly command: string
  /** Where its output goes; default: to us. The guard can write its last words into a file, but not into our pipes. */
  readonly outputFile?: string
  /** How to end it; default: SIGTERM to its process group, and SIGKILL when that does not help. */
  readonly end?: () => Promise<void>
}

export interface RunningPerformance extends Performance {
  readonly pid: number
  /** Lets a program begin that waits for a line on its standard input. */
  cue(): void
}

const END_PATIENCE_MS = 5_000

/** Starts a program in a session of its own, so that Ctrl-C is ours to answer, and keeps what it prints. */
export function startPerformance({ argv, env, command, outputFile, end }: PerformanceOptions): RunningPerformance {
  const [program, ...args] = argv
  const fd = outputFile === undefined ? undefined : openSync(outputFile, 'a', 0o600)
  const child = spawn(program, args, { detached: true, env, stdio: ['pipe', fd ?? 'pipe', fd ?? 'pipe'] })
  if (fd !== undefined) closeSync(fd)
  const output = outputFile === undefined ? collectOutput(child) : () => readFileSync(outputFile, 'utf8')
  let notStarted = ''
  let ended = false
  child.stdin?.on('error', () => {})
  const exited = new Promise<number>((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      notStarted = `${program}: ${error.message}\n`
      ended = true
      resolve(error.code === 'ENOENT' ? 127 : 126)
    })
    child.once('close', (code, signal) => {
      ended = true
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]))
    })
  })
  const signalGroup = (signal: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal)
    } catch {
      // It is gone.
    }
  }
  const endGroup = async () => {
    signalGroup('SIGTERM')
    const late = new AbortController()
    await Promise.race([exited, sleep(END_PATIENCE_MS, undefined, { signal: late.signal }).catch(() => {})])
    late.abort()
    signalGroup('SIGKILL')
  }
  return {
    pid: child.pid ?? 0,
    command,
    exited,
    hasExited: () => ended,
    output: () => output() + notStarted,
    cue: () => {
      child.stdin?.end('\n')
    },
    end: async () => {
      if (ended) return
      await (end ?? endGroup)()
      await exited
    },
  }
}

function collectOutput(child: ChildProcess): () => string {
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
  }
  return () => text
}
