import type { FileChange } from '../install/file-change.js'

/** Engines that `install` knows how to configure. */
export const ENGINE_NAMES = ['docker', 'podman'] as const

export type EngineName = (typeof ENGINE_NAMES)[number]

/** How an engine starts containers without us. */
export interface EngineRuntime {
  /** Absolute path. */
  readonly path: string
  /** Arguments that the engine gives it before all others. */
  readonly args: readonly string[]
}

/**
 * One engine on this host, as `install` and `uninstall` see it. Made by `openDocker` and `openPodman`, which refuse where
 * this engine cannot be configured at all; nothing is changed before `activate` and `deactivate`, which act on the engine
 * itself after its files have been written.
 */
export interface EngineSetup {
  readonly name: EngineName
  /** Things worth knowing before going on, as sentences. */
  readonly notes: readonly string[]
  /** What it starts containers with today, or undefined where it is not to be found out. */
  readonly ownRuntime: EngineRuntime | undefined
  /** The engine's files as they shall be, for a spark-runtime that hands over to `nextRuntime`. */
  computeChanges(nextRuntime: string): FileChange[]
  /** Makes the engine read its files and checks that it did. @returns what to tell. @throws ExpectedError when it did not. */
  activate(): Promise<string>
  /** Names of containers that could not be started any more without our runtime. */
  listContainersUsingUs(): Promise<string[]>
  /** Makes the engine read its files again, after they were put back. @returns what to tell. */
  deactivate(): Promise<string>
  /** How a person sees that it works. */
  readonly tryIt: string
}
