/** One look at the machine, as the observer thread takes it every few milliseconds. */
export interface Sample {
  /** Since the observation began. */
  ms: number
  /** MemAvailable less what is withheld. */
  availableBytes: number
  /** Driver memory: huge pages in use beyond those of the beginning, or what the simulator's files hold. */
  driverBytes: number
  /** What the watched memory cgroup is charged with, or the watched processes have resident; 0 while nothing is watched. */
  cgroupBytes: number
}

/** What the observer saw of one scene. */
export interface Observation {
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
  /** `files`: huge pages cannot be had here, so the simulator's memory files are added up instead. */
  driverSource: 'huge-pages' | 'files'
}

export type ObserverRequest =
  /** Begins a new observation. */
  | { kind: 'begin' }
  /** Watches the memory cgroup whose files are these; the peak may be missing. */
  | { kind: 'watch'; currentFile: string; peakFile: string | undefined }
  /** Watches these processes: what they have resident, and (`driverSource: 'files'`) what their memory files hold. */
  | { kind: 'processes'; pids: number[] }
  /** Ends the observation; the answer is an {@link Observation}. */
  | { kind: 'finish' }

export type ObserverAnswer = { kind: 'sample'; sample: Sample } | { kind: 'observation'; observation: Observation }
