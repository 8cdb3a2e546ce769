import { EXIT_USAGE, ExpectedError } from '../errors.js'

/** What a person may put between `spark-run` and `docker` or `podman`. Sizes are still texts: their share may depend on the machine. */
interface OwnOptions {
  readonly budget?: string
  readonly reserve?: string
  readonly priority?: number
  readonly dryRun: boolean
  readonly quiet: boolean
}

/** An engine that spark-run can stand in front of. */
export type EngineName = 'docker' | 'podman'

/** A command line of ours, split: our options, the engine, and the engine's arguments exactly as they were given. */
export interface Invocation {
  readonly options: OwnOptions
  readonly engine: EngineName
  readonly engineArgs: readonly string[]
}

const WITH_VALUE = new Set(['--budget', '--reserve', '--priority'])
const WITHOUT_VALUE = new Set(['--dry-run', '--quiet'])
const ALLOWED = '--budget SIZE, --reserve SIZE, --priority NUMBER, --dry-run and --quiet'

/** True where the arguments are for the wrapped form, not for one of our own commands. */
export function isWrappedForm(argv: readonly string[]): boolean {
  const [first] = argv
  return first !== undefined && (isEngineName(first) || (first.startsWith('-') && !isOclifFlag(first)))
}

/**
 * Splits a command line of the wrapped form. Our options stand before the engine only; whatever follows belongs to it.
 *
 * @param quietByEnvironment `SPARK_RUN_QUIET` is set.
 * @throws ExpectedError with exit code 2 for an option that is unknown, given twice or lacks its value.
 */
export function parseInvocation(argv: readonly string[], quietByEnvironment = false): Invocation {
  const given = new Map<string, string>()
  let at = 0
  for (; at < argv.length; at++) {
    const argument = argv[at] ?? ''
    if (argument === '--') {
      at++
      break
    }
    if (!argument.startsWith('-')) break
    const equals = argument.indexOf('=')
    const name = equals < 0 ? argument : argument.slice(0, equals)
    if (!WITH_VALUE.has(name) && !WITHOUT_VALUE.has(name)) {
      throw usage(
        'OPTION_UNKNOWN',
        `${name} is not an option of spark-run: before docker or podman it takes ${ALLOWED}`,
      )
    }
    if (given.has(name)) {
      throw usage('OPTION_TWICE', `${name} was given twice: give it once, spark-run would not know which one you mean`)
    }
    if (WITHOUT_VALUE.has(name)) {
      if (equals >= 0) throw usage('OPTION_VALUE', `${name} takes no value: write ${name} alone`)
      given.set(name, '')
      continue
    }
    const value = equals < 0 ? argv[++at] : argument.slice(equals + 1)
    if (value === undefined || value === '' || (equals < 0 && isEngineName(value))) {
      throw usage('OPTION_VALUE', `${name} lacks its value: write ${example(name)}`)
    }
    given.set(name, value)
  }
  const engine = argv[at]
  if (engine === undefined || !isEngineName(engine)) {
    const [option] = given.keys()
    const found = engine === undefined ? 'nothing follows' : `"${engine}" follows`
    throw usage(
      'ENGINE_EXPECTED',
      `docker or podman is expected ${option === undefined ? '' : `after ${option} `}but ${found}: write spark-run ${
        option === undefined ? '' : `${example(option)} `
      }docker run IMAGE`,
    )
  }
  const priority = parsePriority(given.get('--priority'))
  const budget = given.get('--budget')
  const reserve = given.get('--reserve')
  return {
    options: {
      ...(budget === undefined ? {} : { budget }),
      ...(reserve === undefined ? {} : { reserve }),
      ...(priority === undefined ? {} : { priority }),
      dryRun: given.has('--dry-run'),
      quiet: quietByEnvironment || given.has('--quiet'),
    },
    engine,
    engineArgs: argv.slice(at + 1),
  }
}

function parsePriority(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const priority = Number(text)
  if (!/^[+-]?\d+$/.test(text) || priority < -1000 || priority > 1000) {
    throw usage(
      'PRIORITY_SYNTAX',
      `--priority ${text} is not a whole number from -1000 to 1000: the container with the lowest dies first, the default is 0`,
    )
  }
  return priority
}

function isEngineName(text: string): text is EngineName {
  return text === 'docker' || text === 'podman'
}

function isOclifFlag(text: string): boolean {
  return text === '--help' || text === '-h' || text === '--version' || text === '-v'
}

function example(option: string): string {
  if (option === '--priority') return '--priority 10'
  return WITH_VALUE.has(option) ? `${option} 40g` : option
}

function usage(code: string, message: string): ExpectedError {
  return new ExpectedError(code, message, { exitCode: EXIT_USAGE })
}
