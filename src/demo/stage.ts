import type { SmallMachine } from './machine.js'
import type { Observer } from './observer.js'
import type { Screen } from './screen.js'

/** Who plays: the small C engine of `images/greedy`, or the real MAX of `images/max`. */
export type Actor = 'greedy' | 'max'

/** One engine's part in a scene. */
export interface Role {
  readonly actor: Actor
  /** Name of its container. */
  readonly name: string
  /** Its arguments; see `images/greedy` and `images/max`. */
  readonly args: readonly string[]
  /** It must get at its memory past all libraries, so that only the guard can help. */
  readonly bypass?: boolean
  /** Keep what is left of it until the end, so that its log can be read. */
  readonly keep?: boolean
}

/** An engine that plays its part. */
export interface Performance {
  /** What a person would have typed, for the reader. */
  readonly command: string
  /** Its exit code as a shell would see it. */
  readonly exited: Promise<number>
  hasExited(): boolean
  /** Everything it and its launcher printed so far. */
  output(): string
  /** Ends it and waits for it. */
  end(): Promise<void>
}

/** The guard's account of a kill. */
interface KillAccount {
  /** The guard's own words. */
  readonly sentence: string
  /** What the dead engine's log holds. */
  readonly log: string
  /** `spark-run explain`; empty where it cannot be asked. */
  readonly explanation: string
}

/** Where the scenes are played: on a private Docker daemon, or on plain processes where none can run. */
export interface Stage {
  readonly engine: 'docker' | 'none'
  readonly machine: SmallMachine
  readonly screen: Screen
  readonly observer: Observer
  /** What the second bar is called. */
  readonly cgroupName: string
  /** Fires when the demo has to end early. */
  readonly signal: AbortSignal
  /** What `$GPU` stands for in the commands that are shown: the flags that bring the simulated GPU. */
  gpuFlags(): string
  /** The guard sees who holds what, so that it can act before the reserve is touched. */
  readonly guardSeesUse: boolean
  /** Called before every scene: the memory in use now is the rest of the world's. */
  beginScene(): void
  /** How much of the machine is available now, 0 to 1. */
  freeShare(): number
  /** Why an actor cannot play here; undefined when it can. */
  whyNot(actor: Actor): string | undefined
  /** Starts an engine that nobody holds. */
  startUnprotected(role: Role): Promise<Performance>
  /** Starts an engine under spark-run with a budget. */
  startHeld(role: Role, budgetBytes: number): Promise<Performance>
  /** What `docker stats` says an engine uses; undefined where there is no such thing. */
  readStatsBytes(name: string): Promise<number | undefined>
  isAlive(name: string): Promise<boolean>
  findKill(name: string): Promise<KillAccount | undefined>
}
