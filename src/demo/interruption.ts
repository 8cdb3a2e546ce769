import { constants } from 'node:os'
import type { Screen } from './screen.js'

/** What ends the demo before its time: a signal, a reader that went away, a failure that nobody waited for. */
export interface Interruption {
  /** Fires at the first of them. */
  readonly signal: AbortSignal
  /** Resolves to undefined some time after that. */
  readonly patienceOver: Promise<undefined>
  /** What it was; undefined before. */
  cause(): InterruptionCause | undefined
  close(): void
}

export interface InterruptionCause {
  readonly exitCode: number
  readonly sentence: string
  /** For a failure: what was thrown. */
  readonly error?: unknown
}

/** A scene that is interrupted gets this long to notice, before everything under it is taken away. */
const INTERRUPT_PATIENCE_MS = 2_000

const INTERRUPTS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Begins to listen for everything that may end the demo early. */
export function listenForInterrupts(screen: Screen): Interruption {
  const abort = new AbortController()
  let cause: InterruptionCause | undefined
  let timer: NodeJS.Timeout | undefined
  let over: () => void = () => {}
  const patienceOver = new Promise<undefined>((resolve) => {
    over = () => resolve(undefined)
  })
  const begin = (next: InterruptionCause) => {
    if (cause !== undefined) return
    cause = next
    abort.abort()
    timer = setTimeout(over, INTERRUPT_PATIENCE_MS)
  }
  const onSignal = (name: NodeJS.Signals) => {
    if (abort.signal.aborted) {
      screen.say('Still cleaning up; it takes a few seconds.')
      return
    }
    begin({ exitCode: 128 + constants.signals[name], sentence: `interrupted by ${name}` })
    screen.endPicture()
    screen.say(`\nInterrupted by ${name}; cleaning up.`)
  }
  const onFailure = (error: unknown) => begin({ exitCode: 70, sentence: 'a part of the demo failed', error })
  // As if SIGPIPE had ended us, but in order. These stay: a last word may fail after everything else is closed.
  const onStreamError = ({ code, message }: NodeJS.ErrnoException) =>
    begin(
      code === 'EPIPE'
        ? { exitCode: 128 + constants.signals.SIGPIPE, sentence: 'nobody reads what the demo says any more' }
        : { exitCode: 1, sentence: `what the demo says cannot be written: ${message}` },
    )
  for (const stream of [process.stdout, process.stderr]) stream.on('error', onStreamError)
  for (const name of INTERRUPTS) process.on(name, onSignal)
  process.on('uncaughtException', onFailure)
  return {
    signal: abort.signal,
    patienceOver,
    cause: () => cause,
    close() {
      clearTimeout(timer)
      for (const name of INTERRUPTS) process.off(name, onSignal)
      process.off('uncaughtException', onFailure)
    },
  }
}
