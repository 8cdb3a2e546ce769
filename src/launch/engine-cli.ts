import { type ChildProcess, spawn } from 'node:child_process'
import { debug } from '../debug-log.js'
import { findProgram } from '../engines/private-dockerd-needs.js'
import type { EngineName } from './own-options.js'

/** What an engine's command line answered. */
export interface EngineAnswer {
  /** Exit code; 127 where the engine is not there, 128 + 9 where it had to be ended. */
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

interface AskOptions {
  /** Text for its stdin; without it stdin is empty. */
  readonly input?: string | Buffer
  readonly timeoutMs?: number
}

/**
 * The engine through its own command line, which alone knows contexts, TLS, ssh and rootless sockets as the person has set
 * them up. Questions run in sessions of their own: Ctrl-C in the terminal is for the container, and none of them ever
 * reads the terminal.
 */
export interface EngineCli {
  readonly engine: EngineName
  /** The global flags that the person gave before the verb; part of every question. */
  readonly globalArgs: readonly string[]
  ask(args: readonly string[], options?: AskOptions): Promise<EngineAnswer>
  /** Starts a question that goes on answering, line by line, until it is stopped. */
  follow(args: readonly string[], onLine: (line: string) => void): Following
}

/** A running question; `stop` may be called at any time, more than once. */
interface Following {
  stop(): void
}

const DEFAULT_TIMEOUT_MS = 60_000

export function createEngineCli(
  engine: EngineName,
  globalArgs: readonly string[],
  environment: Readonly<NodeJS.ProcessEnv> = process.env,
): EngineCli {
  const start = (args: readonly string[], stdin: 'pipe' | 'ignore') =>
    spawn(engine, [...globalArgs, ...args], { detached: true, env: environment, stdio: [stdin, 'pipe', 'pipe'] })
  return {
    engine,
    globalArgs,
    async ask(args, options = {}) {
      const begin = performance.now()
      const answer = await collect(start(args, options.input === undefined ? 'ignore' : 'pipe'), options)
      const durationMs = Math.round(performance.now() - begin)
      await debug('asked the engine', { engine, ...verbOf(args), exitCode: answer.exitCode, durationMs })
      return answer
    },
    follow(args, onLine) {
      const command = [engine, ...globalArgs, ...args]
      const setpriv = findProgram('setpriv')
      // Should we be killed, the kernel ends the question for us: in its own session nobody else would.
      const [program = engine, ...rest] = setpriv === undefined ? command : [setpriv, '--pdeathsig', 'TERM', ...command]
      const child = spawn(program, rest, { detached: true, env: environment, stdio: ['ignore', 'pipe', 'ignore'] })
      // A question that cannot be asked has no answers; whoever follows has a deadline of their own.
      child.on('error', () => {})
      splitLines(child, onLine)
      return { stop: () => child.kill('SIGTERM') }
    },
  }
}

/** The verb without what follows it: arguments may hold secrets. */
function verbOf([verb]: readonly string[]): { verb?: string } {
  return verb === undefined ? {} : { verb }
}

function collect(child: ChildProcess, { input, timeoutMs = DEFAULT_TIMEOUT_MS }: AskOptions): Promise<EngineAnswer> {
  return new Promise((resolve) => {
    const output = { stdout: '', stderr: '' }
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream]?.setEncoding('utf8').on('data', (text: string) => {
        output[stream] += text
      })
    }
    // It may end without reading what we write.
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
    const settle = (exitCode: number) => {
      clearTimeout(timer)
      resolve({ exitCode, ...output })
    }
    child.once('error', (error: NodeJS.ErrnoException) => settle(error.code === 'ENOENT' ? 127 : 126))
    child.once('close', (code) => settle(code ?? 137))
  })
}

/** A chunk may hold many lines, or a part of one. */
function splitLines(child: ChildProcess, onLine: (line: string) => void): void {
  let rest = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line !== '') onLine(line)
  })
}
