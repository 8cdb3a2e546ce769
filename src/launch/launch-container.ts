import { randomUUID } from 'node:crypto'
import type { CarriedLaunch, ContainerLaunch } from './carrier.js'
import { computeEngineArgs } from './carrier.js'
import { runInOurPlace } from './child.js'
import { createEngineCli, type EngineCli } from './engine-cli.js'
import type { EngineVerb } from './engine-verb.js'
import { notStartedSentence, passThrough } from './front.js'
import type { Invocation } from './own-options.js'
import { checkSizes } from './request.js'
import { NOTHING_SCANNED, parseRunHelp, type RunScan, scanRunArgs } from './run-flags.js'
import { complain, type Say } from './say.js'
import { quoteCommand } from './shell-quote.js'
import { awaitTombstone, computeKillNotice, EXIT_KILLED } from './tombstone-notice.js'

/**
 * Runs `docker run`, `docker create` and their like with a budget around the container.
 *
 * @returns the engine's exit code, or ours for a refusal.
 * @throws ExpectedError where nothing was started: an engine without an answer, a budget that cannot be.
 */
export async function launchContainer(given: {
  readonly invocation: Invocation
  readonly verb: EngineVerb
  readonly environment: Readonly<NodeJS.ProcessEnv>
  readonly say: Say
}): Promise<number> {
  const { invocation, verb } = given
  const { engine, engineArgs } = invocation
  checkSizes(invocation.options)
  const cli = createEngineCli(engine, verb.globalArgs, given.environment)
  const runArgs = engineArgs.slice(verb.afterVerb)
  const scan = await scanByItsHelp(cli, runArgs)
  // Not there at all, or asked for its help: both are answered best by the engine's own absence or text.
  if (scan === undefined || scan.help) return passThrough(engine, engineArgs)
  const launch: ContainerLaunch = { ...given, runArgs, scan, cli, requestId: randomUUID() }
  const carried = await carry(launch)
  const args = computeEngineArgs(launch, carried)
  if (invocation.options.dryRun) {
    const facts = carried.facts.map((fact) => `# ${fact}\n`).join('')
    process.stdout.write(`${quoteCommand([engine, ...args])}\n${facts}`)
    return 0
  }
  return run(launch, carried, args)
}

async function carry(launch: ContainerLaunch): Promise<CarriedLaunch> {
  if (launch.invocation.engine === 'podman') {
    const { carryToPodman } = await import('./podman-carrier.js')
    return carryToPodman(launch)
  }
  const [{ readDockerInfo }, { INSTALLED_RUNTIME, carryByRuntime }] = await Promise.all([
    import('./engine-info.js'),
    import('./runtime-carrier.js'),
  ])
  const info = await readDockerInfo(launch.cli)
  if (info.runtimes.includes(INSTALLED_RUNTIME)) return carryByRuntime({ ...launch, info })
  const { carryByFlags } = await import('./flags-carrier.js')
  return carryByFlags({ ...launch, info })
}

async function run(launch: ContainerLaunch, carried: CarriedLaunch, args: readonly string[]): Promise<number> {
  const { engine } = launch.invocation
  const exitCode = await runInOurPlace(engine, args, carried.onStarted)
  try {
    if (typeof exitCode !== 'number') {
      complain(notStartedSentence(engine, exitCode))
      return exitCode.exitCode
    }
    if (exitCode === EXIT_KILLED) {
      const tombstone = await awaitTombstone(carried.tombstones, launch.requestId)
      if (tombstone !== undefined) launch.say(computeKillNotice(tombstone, launch.scan.name))
    }
    return exitCode
  } finally {
    await carried.onEnded?.()
  }
}

/**
 * Reads the person's flags with the table that this very engine prints, so that a flag of tomorrow is known tomorrow. Asked
 * each time: it takes 10 to 25 ms without a daemon, and a cache would be one more thing that can be out of date.
 *
 * @returns undefined where the engine cannot be run.
 */
async function scanByItsHelp(cli: EngineCli, runArgs: readonly string[]): Promise<RunScan | undefined> {
  const help = await createEngineCli(cli.engine, []).ask(['run', '--help'])
  if (help.exitCode === 126 || help.exitCode === 127) return undefined
  const table = parseRunHelp(help.stdout)
  return table === undefined ? NOTHING_SCANNED : scanRunArgs(runArgs, table)
}
