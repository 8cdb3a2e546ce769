import { ExpectedError, isSystemError } from '../errors.js'
import type { InterruptionCause } from './interruption.js'

/** How a demo ended that did not come to its end; the form of `error` is that of every `--json` of spark-run. */
export interface DemoFailure {
  error: { code: string; message: string; hint: string | null; exit: number }
}

/** Exit code of sysexits.h for a mistake of ours, EX_SOFTWARE. */
const EXIT_SOFTWARE = 70

/** What went wrong, in one sentence: for a person's mistake with what to do, for ours with the way to see more. */
export function describeFailure(error: unknown): DemoFailure {
  if (error instanceof ExpectedError) {
    return { error: { code: error.code, message: error.message, hint: error.hint ?? null, exit: error.exitCode } }
  }
  const message = error instanceof Error ? error.message : String(error)
  if (isSystemError(error)) return { error: { code: error.code ?? 'SYSTEM', message, hint: null, exit: 1 } }
  return {
    error: {
      code: 'UNEXPECTED',
      message: `this should not have happened: ${message.split('\n')[0]}`,
      hint: 'To see where: SPARK_RUN_DEBUG=1 npm run demo',
      exit: EXIT_SOFTWARE,
    },
  }
}

/** The same for what ended the demo from outside. */
export function describeInterruption({ exitCode, sentence, error }: InterruptionCause): DemoFailure {
  if (error !== undefined) return describeFailure(error)
  return { error: { code: 'INTERRUPTED', message: sentence, hint: null, exit: exitCode } }
}
