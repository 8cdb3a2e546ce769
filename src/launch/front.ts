import { EXIT_REFUSED, ExpectedError, isSystemError } from '../errors.js'
import { packageVersion } from '../host/package-files.js'
import { type NotStarted, runInOurPlace } from './child.js'
import { findEngineVerb } from './engine-verb.js'
import { type EngineName, type Invocation, isWrappedForm, parseInvocation } from './own-options.js'
import { complain, createSay } from './say.js'

const SHORT_HELP = `Run GPU containers on a unified-memory machine without losing the machine.

  spark-run docker run IMAGE                 a container inside its budget
  spark-run --budget 40g docker run IMAGE    … of 40 GiB, CPU and GPU together
  spark-run --dry-run docker run IMAGE       what that would start, nothing more
  spark-run explain NAME                     why a container died

Everything after docker or podman is theirs: same flags, same output, same exit codes.
Before it: --budget SIZE, --reserve SIZE, --priority NUMBER, --dry-run, --quiet.
All commands: spark-run --help
`

const COMPOSE_NOTICE =
  'compose starts its containers itself, so none of them has a budget unless spark is the default runtime of the engine'

/** True for command lines that need no oclif: the wrapped engines, our options before them, the version, nothing at all. */
export function isForLauncher(argv: readonly string[]): boolean {
  const [first] = argv
  if (first === undefined || first === '--version' || first === '-v') return true
  return isWrappedForm(argv) && !asksOurHelp(argv)
}

/**
 * Runs a command line for which {@link isForLauncher} holds.
 *
 * @returns the exit code: the engine's own; 125 for a refusal of ours, 126/127 where the engine cannot be run, 2 for misuse.
 */
export async function launch(
  argv: readonly string[],
  environment: Readonly<NodeJS.ProcessEnv> = process.env,
): Promise<number> {
  const [first] = argv
  if (first === undefined) {
    process.stdout.write(SHORT_HELP)
    return 0
  }
  if (first === '--version' || first === '-v') {
    process.stdout.write(`spark-run ${packageVersion()}\n`)
    return 0
  }
  try {
    return await launchEngine(parseInvocation(argv, isSet(environment.SPARK_RUN_QUIET)), environment)
  } catch (error) {
    if (isSystemError(error)) {
      complain(`nothing was started, because this machine refuses: ${error.message}`)
      return EXIT_REFUSED
    }
    if (!(error instanceof ExpectedError)) throw error
    complain(error.hint === undefined ? error.message : `${error.message}. ${error.hint}`)
    return error.exitCode
  }
}

async function launchEngine(invocation: Invocation, environment: Readonly<NodeJS.ProcessEnv>): Promise<number> {
  const { engine, engineArgs, options } = invocation
  const verb = findEngineVerb(engine, engineArgs)
  const say = createSay(options.quiet)
  if (verb.makesContainer && verb.afterVerb < engineArgs.length) {
    const { launchContainer } = await import('./launch-container.js')
    return launchContainer({ invocation, verb, environment, say })
  }
  if (verb.verb === 'compose') say(COMPOSE_NOTICE)
  if (verb.verb === undefined && engineArgs.some((argument) => argument === 'run' || argument === 'create')) {
    say(`the ${engine} command could not be found behind its global flags, so a container that it makes has no budget`)
  }
  const unused = optionsWithoutEffect(invocation)
  // `docker run` alone: the engine says what it lacks.
  if (unused !== undefined && !verb.makesContainer)
    say(
      `${unused} has no effect on ${[engine, verb.verb].filter(Boolean).join(' ')}: only run and create make containers`,
    )
  if (options.dryRun) {
    const { quoteCommand } = await import('./shell-quote.js')
    process.stdout.write(`${quoteCommand([engine, ...engineArgs])}\n`)
    return 0
  }
  return passThrough(engine, engineArgs)
}

/** Runs the engine with exactly these arguments in our place, and says so where it cannot be run. */
export async function passThrough(engine: EngineName, args: readonly string[]): Promise<number> {
  const result = await runInOurPlace(engine, args)
  if (typeof result === 'number') return result
  complain(notStartedSentence(engine, result))
  return result.exitCode
}

/** One sentence for an engine that could not be started. */
export function notStartedSentence(engine: EngineName, { error }: NotStarted): string {
  switch (error.code) {
    case 'ENOENT':
      return `${engine} is not installed, or not in the directories of PATH: install it, or try spark-run ${other(engine)}`
    case 'EACCES':
      return `${engine} was found on PATH but may not be executed: look at its permissions`
    case 'E2BIG':
      return `the arguments for ${engine} are too long for this kernel: shorten them, or put variables into an --env-file`
    default:
      return `${engine} could not be started: ${error.message}`
  }
}

function other(engine: EngineName): EngineName {
  return engine === 'docker' ? 'podman' : 'docker'
}

function optionsWithoutEffect({ options }: Invocation): string | undefined {
  if (options.budget !== undefined) return '--budget'
  if (options.reserve !== undefined) return '--reserve'
  return options.priority === undefined ? undefined : '--priority'
}

/** `spark-run docker --help` is ours; any `--help` further on belongs to the engine. */
function asksOurHelp(argv: readonly string[]): boolean {
  return (argv[0] === 'docker' || argv[0] === 'podman') && argv[1] === '--help'
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '' && value !== '0'
}
