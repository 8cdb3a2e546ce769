import { Command, Errors } from '@oclif/core'
import { EXIT_USAGE, ExpectedError, isSystemError } from '../errors.js'

/** What `--json` prints on stdout for a failure. */
export interface JsonError {
  readonly error: {
    readonly code: string
    readonly message: string
    readonly hint: string | null
    readonly exit: number
  }
}

/**
 * Base of every command of ours: data on stdout, talk on stderr; a failure a person can mend is one sentence and a hint,
 * without a stack; the exit code is the same with and without `--json`.
 */
export abstract class BaseCommand extends Command {
  static override enableJsonFlag = true

  /** Prints lines on stdout; silent under `--json`. */
  protected print(lines: readonly string[]): void {
    for (const line of lines) this.log('%s', line)
  }

  protected override async catch(error: Error): Promise<void> {
    const failure = describeFailure(error, this.id)
    if (failure === undefined) return super.catch(error)
    process.exitCode = failure.error.exit
    // Under NODE_ENV=development or test oclif would add that parsing was forgotten.
    this.parsed = true
    if (this.jsonEnabled()) {
      this.logJson(failure)
      return
    }
    this.logToStderr('spark-run: %s', failure.error.message)
    if (failure.error.hint !== null) this.logToStderr('%s', failure.error.hint)
  }

  /** For what is left to oclif: a bug in ours. */
  protected override toErrorJson(error: unknown): JsonError {
    const message = error instanceof Error ? error.message : String(error)
    return { error: { code: 'UNEXPECTED', message, hint: null, exit: 1 } }
  }
}

/** A failure as data; undefined for one that is a bug and may show its stack. */
export function describeFailure(error: Error, commandId: string | undefined): JsonError | undefined {
  if (error instanceof ExpectedError) {
    return { error: { code: error.code, message: error.message, hint: error.hint ?? null, exit: error.exitCode } }
  }
  if (isSystemError(error)) {
    const message = `this machine refuses: ${error.message}`
    return { error: { code: error.code ?? 'SYSTEM', message, hint: null, exit: 1 } }
  }
  if (isUsageError(error)) {
    // The parser adds a line of its own, "See more help with --help".
    const message =
      describeMissingArg(error, commandId) ??
      error.message.replace(/\nSee more help with --help$/, '').replaceAll('\n', ' ')
    const hint = `See: spark-run ${commandId === undefined ? '' : `${commandId} `}--help`
    return { error: { code: 'USAGE', message: lowerFirst(message), hint, exit: EXIT_USAGE } }
  }
  return undefined
}

/** What oclif's parser throws; `this.exit()` throws the same kind, without being a mistake. */
function isUsageError(error: Error): boolean {
  return error instanceof Errors.CLIError && !(error instanceof Errors.ExitError)
}

/** The parser's own words for a missing argument are a small table. */
function describeMissingArg(error: Error, commandId: string | undefined): string | undefined {
  const { args } = error as { args?: readonly { name: string; description?: string }[] }
  const [missing] = Array.isArray(args) && error.message.startsWith('Missing ') ? args : []
  return missing === undefined
    ? undefined
    : `${commandId ?? 'the command'} lacks its ${missing.name}: ${missing.description ?? 'it cannot do without'}`
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
