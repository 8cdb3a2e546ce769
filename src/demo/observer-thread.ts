import { openSync, readdirSync, readFileSync, readlinkSync, readSync, statSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { parseMeminfo } from '../host/meminfo.js'
import type { MemoryCgroupFiles } from './container-cgroup.js'
import { createDriftMeter } from './drift.js'
import type { Observation, ObserverAnswer, ObserverRequest, ObserverSetup, Sample } from './sample.js'

/** Reading /proc/meminfo costs some 10 µs, so that this is well below 1 % of a core. */
const LOOK_EVERY_MS = 2

/** The files of cgroups and processes take locks in the kernel that the engine's own allocations want too. */
const ENGINE_EVERY_MS = 20

const COURSE_STEP_MS = 20
const REPORT_EVERY_MS = 100

const setup = workerData as ObserverSetup
const port = parentPort
if (port === null) throw new Error('observer-thread.js is a worker thread')

const meminfoFd = openSync(setup.meminfoFile, 'r')
const buffer = Buffer.alloc(8192)

let startedMs = performance.now()
let lastMs = startedMs
let watched: MemoryCgroupFiles[] = []
let pids: number[] = []
let cgroupBytes = 0
let driverBytes = 0
/** Memory that the engines took of the machine: the driver's and their own, without what the kernel can drop. */
let takenBytes = 0
let drift = createDriftMeter()
let lastEngineMs = 0
let lastReportMs = 0
let observation = emptyObservation()

function emptyObservation(): Observation {
  return {
    minAvailableBytes: Number.MAX_SAFE_INTEGER,
    peakDriverBytes: 0,
    cgroupPeakBytes: 0,
    looks: 0,
    longestGapMs: 0,
    othersTookBytes: 0,
    othersGaveBackBytes: 0,
    course: [],
  }
}

function readAvailable(): number {
  const length = readSync(meminfoFd, buffer, 0, buffer.length, 0)
  // Below zero for a moment is possible where others took what is withheld.
  return parseMeminfo(buffer.toString('latin1', 0, length), setup.meminfoFile).availableBytes - setup.withholdBytes
}

function readNumber(file: string): number {
  return Number(readText(file).trim()) || 0
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** A line of /proc/<pid>/status in bytes; 0 for a process that is gone. */
function statusBytes(status: string, key: string): number {
  return Number(new RegExp(`^${key}:\\s*(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1024
}

/** What the simulator's memory files of one process hold: their blocks are pages that really exist. */
function memoryFilesBytes(pid: number): number {
  let bytes = 0
  try {
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      const link = `/proc/${pid}/fd/${fd}`
      if (readlinkSync(link).startsWith('/memfd:spark-sim')) bytes += statSync(link).blocks * 512
    }
  } catch {
    // The process is gone, and its pages with it.
  }
  return bytes
}

/** Looks at the engines of this scene alone: others on this host may use huge pages, too. */
function lookAtEngines() {
  const ofCgroups = watched.flatMap((files) => readText(files.procsFile).trim().split('\n').filter(Boolean).map(Number))
  let residentBytes = 0
  let ownBytes = 0
  driverBytes = 0
  for (const pid of [...pids, ...ofCgroups]) {
    const status = readText(`/proc/${pid}/status`)
    residentBytes += statusBytes(status, 'VmRSS')
    ownBytes += statusBytes(status, 'RssAnon')
    // Pages of a memory file that are mapped are in both.
    driverBytes += Math.max(statusBytes(status, 'HugetlbPages'), memoryFilesBytes(pid))
  }
  takenBytes = driverBytes + ownBytes
  const newest = watched.at(-1)
  if (newest === undefined) {
    cgroupBytes = residentBytes
    return
  }
  cgroupBytes = readNumber(newest.currentFile)
  const peak = newest.peakFile === undefined ? 0 : readNumber(newest.peakFile)
  observation.cgroupPeakBytes = Math.max(observation.cgroupPeakBytes, peak, cgroupBytes)
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
  const available = readAvailable()
  if (now - lastEngineMs >= ENGINE_EVERY_MS) {
    lastEngineMs = now
    lookAtEngines()
    drift.add(now - startedMs, setup.sizeBytes - takenBytes - available)
  }
  const availableBytes = Math.max(0, available)
  const sample: Sample = { ms: now - startedMs, availableBytes, driverBytes, cgroupBytes }
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
      watched = []
      pids = []
      cgroupBytes = 0
      driverBytes = 0
      takenBytes = 0
      drift = createDriftMeter()
      startedMs = performance.now()
      lastMs = startedMs
      timer ??= setInterval(look, LOOK_EVERY_MS)
      break
    case 'watch':
      watched.push(request.files)
      lookAtEngines()
      break
    case 'processes':
      pids = request.pids
      break
    case 'finish':
      look()
      clearInterval(timer)
      timer = undefined
      answer({ kind: 'observation', observation: { ...observation, ...drift.read() } })
      break
  }
})
