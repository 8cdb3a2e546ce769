/**
 * A failure that a person can cause and mend: wrong input, a missing program, a machine that lacks something.
 * Printed as one sentence (and a hint), without a stack trace.
 */
export class ExpectedError extends Error {
  /** Stable machine-readable name, for `--json`: `BUDGET_SYNTAX`, `GUARD_NOT_RUNNING`, … */
  readonly code: string
  /** What to do next, as a sentence of its own; undefined where the message already says it. */
  readonly hint: string | undefined
  /** Exit code of the process: 2 for misuse of the command line, 125 for a refusal before a container starts, else 1. */
  readonly exitCode: number

  constructor(code: string, message: string, options: { hint?: string; exitCode?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'ExpectedError'
    this.code = code
    this.hint = options.hint
    this.exitCode = options.exitCode ?? 1
  }
}

/** A full disk, a directory that may not be read: not a bug, and the kernel's own sentence says it. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && 'code' in error
}

/** Exit code for a mistake on our own command line. */
export const EXIT_USAGE = 2

/** Exit code for a refusal before the container starts; Docker uses the same for its own refusals. */
export const EXIT_REFUSED = 125
