import type { SmallMachine } from './machine.js'
import type { Observer } from './observer.js'
import type { Screen } from './screen.js'

/** Who plays: the small C engine of `images/greedy`, or the real MAX of `images/max`. */
export type Actor = 'greedy' | 'max'

/** One engine's part in a scene. */
export interface Role {
  actor: Actor
  /** Name of its container. */
  name: string
  /**
   * greedy: asks how much memory there is and takes 90 % of it; polite: takes `takeBytes`; bypass: takes pages until it is
   * stopped, with no library in between.
   */
  mode: 'greedy' | 'polite' | 'bypass'
  takeBytes?: number
  /** How long it holds what it got, unless it is ended before. */
  holdSeconds: number
}

/** An engine that plays its part. */
export interface Performance {
  /** What a person would have typed, for the reader. */
  command: string
  /** Its exit code as the shell would see it. */
  exited: Promise<number>
  /** Everything it and its launcher printed so far. */
  output(): string
  /** Ends it and waits for it. */
  end(): Promise<void>
}

/** What an engine's own accounting says about a container. */
export interface EngineStats {
  usedBytes: number
}

/** The guard's account of a kill. */
export interface KillAccount {
  sentence: string
  /** What the dead engine's own log holds. */
  log: string
  /** `spark-run explain`, line by line; empty where it cannot be asked. */
  explanation: string[]
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
  /** How much of the machine is available now, 0 to 1. */
  freeShare(): number
  /** Why an actor cannot play here; undefined when it can. */
  whyNot(actor: Actor): string | undefined
  /** Starts an engine that nobody holds. */
  startUnprotected(role: Role): Promise<Performance>
  /** Starts an engine under spark-run with a budget. */
  startHeld(role: Role, budgetBytes: number): Promise<Performance>
  /** Starts the guard; everything after this scene has one. */
  startGuard(): Promise<void>
  stats(name: string): Promise<EngineStats | undefined>
  isAlive(name: string): Promise<boolean>
  findKill(name: string): Promise<KillAccount | undefined>
}
