import type { MemoryCgroupFiles } from './container-cgroup.js'
import type { Drift } from './drift.js'

/** One look at the machine, as the observer thread takes it every few milliseconds. */
export interface Sample {
  /** Since the observation began. */
  ms: number
  /** MemAvailable less what is withheld. */
  availableBytes: number
  /** Driver memory of the watched engines: huge pages they have mapped, or what their simulator's files hold. */
  driverBytes: number
  /** What the watched memory cgroup is charged with, or the watched processes have resident; 0 while nothing is watched. */
  cgroupBytes: number
}

/** What the observer saw of one scene. */
export interface Observation extends Drift {
  minAvailableBytes: number
  peakDriverBytes: number
  cgroupPeakBytes: number
  /** How many looks there were, and the longest time between two of them. */
  looks: number
  longestGapMs: number
  /** Thinned out: the lowest MemAvailable and the rest as it was then, one for every 20 ms. */
  course: Sample[]
}

/** What the observer thread is given. */
export interface ObserverSetup {
  meminfoFile: string
  withholdBytes: number
  /** What is available of the small machine while nothing of a scene runs. */
  sizeBytes: number
}

export type ObserverRequest =
  /** Begins a new observation. */
  | { kind: 'begin' }
  /** Watches the processes in this memory cgroup, too; the newest one's charge is what is shown. */
  | { kind: 'watch'; files: MemoryCgroupFiles }
  /** Watches these processes, where there is no cgroup. */
  | { kind: 'processes'; pids: number[] }
  /** Ends the observation; the answer is an {@link Observation}. */
  | { kind: 'finish' }

export type ObserverAnswer = { kind: 'sample'; sample: Sample } | { kind: 'observation'; observation: Observation }
