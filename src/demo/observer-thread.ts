import { openSync, readdirSync, readFileSync, readlinkSync, readSync, statSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { hugePagesInUseBytes, parseMeminfo } from '../host/meminfo.js'
import type { Observation, ObserverAnswer, ObserverRequest, ObserverSetup, Sample } from './sample.js'

/** Reading /proc/meminfo costs some 10 µs, so that this is well below 1 % of a core. */
const LOOK_EVERY_MS = 2

/** Cgroup files take a lock in the kernel that the engine's own allocations want too. */
const CGROUP_EVERY_MS = 20

const COURSE_STEP_MS = 20
const REPORT_EVERY_MS = 100

const setup = workerData as ObserverSetup
const port = parentPort
if (port === null) throw new Error('observer-thread.js is a worker thread')

const meminfoFd = openSync(setup.meminfoFile, 'r')
const buffer = Buffer.alloc(8192)

let startedMs = performance.now()
let lastMs = startedMs
let baselineBytes = 0
let watched: { currentFile: string; peakFile: string | undefined } | undefined
let pids: number[] = []
let cgroupBytes = 0
let filesBytes = 0
let lastCgroupMs = 0
let lastReportMs = 0
let observation = emptyObservation()

function emptyObservation(): Observation {
  return {
    minAvailableBytes: Number.MAX_SAFE_INTEGER,
    peakDriverBytes: 0,
    cgroupPeakBytes: 0,
    looks: 0,
    longestGapMs: 0,
    course: [],
  }
}

function readMachine() {
  const length = readSync(meminfoFd, buffer, 0, buffer.length, 0)
  return parseMeminfo(buffer.toString('latin1', 0, length), setup.meminfoFile, setup.withholdBytes)
}

function readNumber(file: string): number {
  try {
    return Number(readFileSync(file, 'utf8').trim()) || 0
  } catch {
    // The container is gone, and its cgroup with it.
    return 0
  }
}

function lookAtCgroup() {
  if (watched === undefined) {
    cgroupBytes = pids.reduce((sum, pid) => sum + residentBytes(pid), 0)
    return
  }
  cgroupBytes = readNumber(watched.currentFile)
  const peak = watched.peakFile === undefined ? 0 : readNumber(watched.peakFile)
  observation.cgroupPeakBytes = Math.max(observation.cgroupPeakBytes, peak, cgroupBytes)
}

/** What `top` shows as RES. */
function residentBytes(pid: number): number {
  try {
    return Number(/^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

/** What the simulator's memory files of one process hold: their blocks are pages that really exist. */
function memoryFilesBytes(pid: number): number {
  let bytes = 0
  try {
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      const link = `/proc/${pid}/fd/${fd}`
      if (readlinkSync(link).startsWith('/memfd:')) bytes += statSync(link).blocks * 512
    }
  } catch {
    // The process is gone, and its pages with it.
  }
  return bytes
}

function keepInCourse(sample: Sample) {
  const last = observation.course.at(-1)
  if (last === undefined || sample.ms - last.ms >= COURSE_STEP_MS) observation.course.push(sample)
  else if (sample.availableBytes < last.availableBytes) {
    observation.course[observation.course.length - 1] = { ...sample, ms: last.ms }
  }
}

function look() {
  const now = performance.now()
  const machine = readMachine()
  if (now - lastCgroupMs >= CGROUP_EVERY_MS) {
    lastCgroupMs = now
    lookAtCgroup()
    if (setup.driverSource === 'files') filesBytes = pids.reduce((sum, pid) => sum + memoryFilesBytes(pid), 0)
  }
  const sample: Sample = {
    ms: now - startedMs,
    availableBytes: machine.availableBytes,
    driverBytes:
      setup.driverSource === 'files' ? filesBytes : Math.max(0, hugePagesInUseBytes(machine.hugePages) - baselineBytes),
    cgroupBytes,
  }
  observation.looks += 1
  observation.longestGapMs = Math.max(observation.longestGapMs, now - lastMs)
  observation.minAvailableBytes = Math.min(observation.minAvailableBytes, sample.availableBytes)
  observation.peakDriverBytes = Math.max(observation.peakDriverBytes, sample.driverBytes)
  keepInCourse(sample)
  lastMs = now
  if (now - lastReportMs >= REPORT_EVERY_MS) {
    lastReportMs = now
    answer({ kind: 'sample', sample })
  }
}

function answer(message: ObserverAnswer) {
  port?.postMessage(message)
}

let timer: NodeJS.Timeout | undefined

port.on('message', (request: ObserverRequest) => {
  switch (request.kind) {
    case 'begin':
      observation = emptyObservation()
      watched = undefined
      pids = []
      cgroupBytes = 0
      filesBytes = 0
      baselineBytes = hugePagesInUseBytes(readMachine().hugePages)
      startedMs = performance.now()
      lastMs = startedMs
      timer ??= setInterval(look, LOOK_EVERY_MS)
      break
    case 'watch':
      watched = request
      lookAtCgroup()
      break
    case 'processes':
      pids = request.pids
      break
    case 'finish':
      look()
      clearInterval(timer)
      timer = undefined
      answer({ kind: 'observation', observation })
      break
  }
})
