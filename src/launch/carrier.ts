import type { EngineCli } from './engine-cli.js'
import type { DockerInfo } from './engine-info.js'
import type { EngineVerb } from './engine-verb.js'
import type { Invocation } from './own-options.js'
import type { RunScan } from './run-flags.js'
import type { Say } from './say.js'
import type { TombstoneSource } from './tombstone-notice.js'

/** Everything that is known about one `run` or `create` before it happens. */
export interface ContainerLaunch {
  readonly invocation: Invocation
  readonly verb: EngineVerb
  /** What stands after the verb, as given. */
  readonly runArgs: readonly string[]
  readonly scan: RunScan
  readonly cli: EngineCli
  readonly environment: Readonly<NodeJS.ProcessEnv>
  /** Names this launch in registry, events and tombstones. */
  readonly requestId: string
  readonly say: Say
}

/** A launch on a Docker daemon that has answered. */
export interface DockerLaunch extends ContainerLaunch {
  readonly info: DockerInfo
}

/** What a carrier adds to the command line, and what it does around the run. */
export interface CarriedLaunch {
  /** Arguments between the engine's own global flags and the verb. */
  readonly beforeVerb: readonly string[]
  /** Arguments right after the verb. The engine lets the last of a flag win, so the person's own still do. */
  readonly afterVerb: readonly string[]
  /** The person's arguments, where one had to be replaced. */
  readonly runArgs: readonly string[]
  /** For `--dry-run`: what holds for this container, one fact a line. */
  readonly facts: readonly string[]
  /** Called when the engine's command has started. */
  readonly onStarted?: () => void
  /** Called once it has ended, however it did. */
  readonly onEnded?: () => Promise<void>
  /** Where the guard's records about this engine's containers are. */
  readonly tombstones: TombstoneSource
}

/** The engine's whole argument list for a carried launch; nothing of the person's is moved or dropped. */
export function computeEngineArgs(
  launch: Pick<ContainerLaunch, 'invocation' | 'verb'>,
  carried: Pick<CarriedLaunch, 'beforeVerb' | 'afterVerb' | 'runArgs'>,
): string[] {
  const { globalArgs, afterVerb } = launch.verb
  const verb = launch.invocation.engineArgs.slice(globalArgs.length, afterVerb)
  return [...globalArgs, ...carried.beforeVerb, ...verb, ...carried.afterVerb, ...carried.runArgs]
}
