import { parseArgs } from 'node:util'
import { EXIT_USAGE, ExpectedError } from '../errors.js'

/** What may stand before the command, the same for `npm run shim` and `spark-run probe`. Sizes are still texts. */
export interface SizeOptions {
  readonly budget?: string | undefined
  readonly sim?: string | undefined
  readonly reserve?: string | undefined
}

export interface ShimArguments extends SizeOptions {
  readonly help: boolean
  readonly trace: boolean
  /** Program and arguments, exactly as they were given. */
  readonly command: readonly string[]
}

const OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  budget: { type: 'string' },
  sim: { type: 'string' },
  reserve: { type: 'string' },
  trace: { type: 'boolean' },
} as const

const OPTIONS_WITH_SIZE: ReadonlySet<string> = new Set(['--budget', '--sim', '--reserve'])

export const shimUsage = `usage: npm run --silent shim -- --budget SIZE [--sim SIZE] [--reserve SIZE] [--trace] -- COMMAND [ARGUMENT...]

  --budget SIZE    what the program may hold, CPU and GPU together, for example 4g
  --sim SIZE       on a simulated GB10 of this size, for example 16g (default: the driver of this machine)
  --reserve SIZE   what the machine keeps: free is never more than MemAvailable less this (default: 0)
  --trace          tell each call that the shim answers or counts, on stderr
`

/**
 * Splits a command line where the command begins: behind the first `--`, or at the first word that is neither an option nor
 * the value of one.
 */
export function splitAtCommand(argv: readonly string[]): { own: string[]; command: string[] } {
  const { tokens } = parseArgs({ args: [...argv], options: OPTIONS, strict: false, tokens: true })
  const end = tokens.find((token) => token.kind !== 'option')
  if (end === undefined) return { own: [...argv], command: [] }
  return {
    own: argv.slice(0, end.index),
    command: argv.slice(end.kind === 'option-terminator' ? end.index + 1 : end.index),
  }
}

/** @throws ExpectedError (exit code 2) for anything that is not in {@link shimUsage}. */
export function parseShimArguments(argv: readonly string[]): ShimArguments {
  const { own, command } = splitAtCommand(argv)
  let values: SizeOptions & { help?: boolean; trace?: boolean }
  try {
    values = parseArgs({ args: own, options: OPTIONS }).values
  } catch (error) {
    throw usage('SHIM_USAGE', misuseSentence(error as Error & { code?: string }))
  }
  const { help = false, trace = false, ...sizes } = values
  if (!help && sizes.budget === undefined)
    throw usage('BUDGET_MISSING', 'how much may the program hold? Give it a size: --budget 4g')
  return { help, trace, command: help ? command : requireCommand(command), ...sizes }
}

/** Node's own sentences go on for three lines. */
function misuseSentence({ code, message }: Error & { code?: string }): string {
  const option = /'(--?[^' ]*)/.exec(message)?.[1] ?? ''
  if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION')
    return `${option} is not an option: before the command there may be --budget SIZE, --sim SIZE, --reserve SIZE and --trace`
  return OPTIONS_WITH_SIZE.has(option)
    ? `${option} lacks its size: write ${option} 4g`
    : `${option} takes no value: write ${option} alone`
}

/** @throws ExpectedError (exit code 2) where nothing is to be run. */
export function requireCommand(command: readonly string[]): readonly string[] {
  if (command[0] === undefined || command[0] === '')
    throw usage(
      'COMMAND_MISSING',
      'there is no command: write it behind the options and --, as in -- python3 program.py',
    )
  return command
}

function usage(code: string, message: string): ExpectedError {
  return new ExpectedError(code, message, { exitCode: EXIT_USAGE })
}
