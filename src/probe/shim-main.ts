import { ExpectedError, isSystemError } from '../errors.js'
import { readMeminfo } from '../host/meminfo.js'
import { parseShimArguments, shimUsage } from './arguments.js'
import { runHeld } from './held-run.js'
import { computeHeldSizes } from './sizes.js'
import { followOnStderr } from './trace-screen.js'

/**
 * `npm run shim`: a program under the shim, without a container.
 *
 * @returns the program's exit code, 128 + n where signal n ended it; 126 and 127 where it cannot be run, 2 for misuse.
 */
export async function runShim(
  argv: readonly string[],
  environment: Readonly<NodeJS.ProcessEnv> = process.env,
): Promise<number> {
  try {
    const options = parseShimArguments(argv)
    if (options.help) {
      process.stdout.write(shimUsage)
      return 0
    }
    goWhereWeWereCalled(environment)
    const result = await runHeld({
      sizes: computeHeldSizes(options, readMeminfo().totalBytes),
      command: options.command,
      environment,
      stdout: 'stdout',
      onLine: options.trace ? followOnStderr() : undefined,
    })
    if (result.notStarted !== undefined) complain(result.notStarted)
    return result.exitCode
  } catch (error) {
    if (isSystemError(error)) {
      complain(`this machine refuses: ${error.message}`)
      return 1
    }
    if (!(error instanceof ExpectedError)) throw error
    complain(error.message)
    if (error.hint !== undefined) process.stderr.write(`${error.hint}\n`)
    return error.exitCode
  }
}

/** npm runs its scripts in the package's directory and tells where it was called. */
function goWhereWeWereCalled({ npm_lifecycle_event, INIT_CWD }: Readonly<NodeJS.ProcessEnv>): void {
  if (npm_lifecycle_event === 'shim' && INIT_CWD !== undefined) process.chdir(INIT_CWD)
}

function complain(sentence: string): void {
  process.stderr.write(`shim: ${sentence}\n`)
}
