import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Performance } from './stage.js'

export interface PerformanceOptions {
  /** Program and arguments. */
  readonly argv: readonly [string, ...string[]]
  readonly env: NodeJS.ProcessEnv
  /** What a person would have typed. */
  readonly command: string
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
export function startPerformance({ argv, env, command, end }: PerformanceOptions): RunningPerformance {
  const [program, ...args] = argv
  const child = spawn(program, args, { detached: true, env, stdio: ['pipe', 'pipe', 'pipe'] })
  let text = ''
  let ended = false
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
  }
  child.stdin.on('error', () => {})
  const exited = new Promise<number>((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      text += `${program}: ${error.message}\n`
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
    output: () => text,
    cue: () => {
      child.stdin.end('\n')
    },
    end: async () => {
      if (ended) return
      await (end ?? endGroup)()
      await exited
    },
  }
}
