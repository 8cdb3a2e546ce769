import { Worker } from 'node:worker_threads'
import type { MemoryCgroupFiles } from './container-cgroup.js'
import type { Observation, ObserverAnswer, ObserverRequest, ObserverSetup, Sample } from './sample.js'

/** Watches the machine from a thread of its own, independently of the guard and of whatever this thread is busy with. */
export interface Observer {
  begin(): void
  /** Watches a container by its memory cgroup. */
  watch(files: MemoryCgroupFiles): void
  /** Watches processes instead, where there is no container. */
  watchProcesses(pids: number[]): void
  /** Called with the latest look some ten times a second. */
  onSample(listener: ((sample: Sample) => void) | undefined): void
  finish(): Promise<Observation>
  close(): Promise<void>
}

/** Starts the observer's thread; it looks at nothing before `begin()`. */
export function startObserver(setup: ObserverSetup): Observer {
  const worker = new Worker(new URL('./observer-thread.js', import.meta.url), { workerData: setup })
  worker.unref()
  let listener: ((sample: Sample) => void) | undefined
  let finished: { resolve: (observation: Observation) => void; reject: (error: Error) => void } | undefined
  let failure: Error | undefined
  worker.on('message', (answer: ObserverAnswer) => {
    if (answer.kind === 'sample') listener?.(answer.sample)
    else finished?.resolve(answer.observation)
  })
  worker.on('error', (error) => {
    failure = error as Error
    finished?.reject(failure)
  })
  const ask = (request: ObserverRequest) => worker.postMessage(request)
  return {
    begin: () => ask({ kind: 'begin' }),
    watch: (files) => ask({ kind: 'watch', files }),
    watchProcesses: (pids) => ask({ kind: 'processes', pids }),
    onSample: (next) => {
      listener = next
    },
    finish: () =>
      new Promise((resolve, reject) => {
        if (failure !== undefined) return reject(failure)
        finished = { resolve, reject }
        ask({ kind: 'finish' })
      }),
    close: async () => {
      await worker.terminate()
    },
  }
}
