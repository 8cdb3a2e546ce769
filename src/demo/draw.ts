import { formatBytes } from '../plan/size.js'
import { drawBar } from '../views/bar.js'
import type { Sample } from './sample.js'

const STEPS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const
const BAR_WIDTH = 40

/** What stands in a line of the picture beside its bar: a name, a size, and the legend of the mark. */
const BESIDE_BAR = 53

/** What the bars are measured against. */
export interface Scale {
  sizeBytes: number
  reserveBytes: number
}

/** The picture of one moment: what the driver took, what a cgroup shows of it, and what is left to the machine. */
export function drawMoment(sample: Sample, scale: Scale, cgroupName: string, columns = 120): string[] {
  const width = Math.max(8, Math.min(BAR_WIDTH, columns - BESIDE_BAR))
  const row = (name: string, bytes: number, mark?: number) =>
    `  ${name.padEnd(15)} ${drawBar(bytes / scale.sizeBytes, width, mark)} ${formatBytes(bytes).padStart(10)}`
  const isLow = sample.availableBytes < scale.reserveBytes
  const legend = isLow ? 'under the reserve!' : `reserve ${formatBytes(scale.reserveBytes)}`
  return [
    row('GPU driver', sample.driverBytes),
    row(cgroupName, sample.cgroupBytes),
    `${row('MemAvailable', sample.availableBytes, scale.reserveBytes / scale.sizeBytes)}  ┃ ${legend}`,
  ]
}

/** The same moment as one plain line for a log file. */
export function describeMoment(sample: Sample, scale: Scale, cgroupName: string): string {
  const low = sample.availableBytes < scale.reserveBytes ? ' (under the reserve)' : ''
  return [
    `  ${(sample.ms / 1000).toFixed(1).padStart(5)} s`,
    `GPU driver ${formatBytes(sample.driverBytes).padStart(9)}`,
    `${cgroupName} ${formatBytes(sample.cgroupBytes).padStart(9)}`,
    `MemAvailable ${formatBytes(sample.availableBytes).padStart(9)}${low}`,
  ].join('   ')
}

/** True when `next` shows something that `last` did not: a sixteenth of the machine moved, or the reserve was crossed. */
export function isWorthALine(last: Sample | undefined, next: Sample, scale: Scale): boolean {
  if (last === undefined) return true
  const moved = (a: number, b: number) => Math.abs(a - b) >= scale.sizeBytes / 16
  return (
    moved(last.driverBytes, next.driverBytes) ||
    moved(last.cgroupBytes, next.cgroupBytes) ||
    last.availableBytes < scale.reserveBytes !== next.availableBytes < scale.reserveBytes
  )
}

/** The course of MemAvailable as one line of blocks; every character shows the lowest value of its stretch of time. */
export function drawCourse(course: readonly Sample[], scale: Scale, width = 40): string {
  const end = course.at(-1)?.ms ?? 0
  if (end === 0) return ''
  const lowest = new Array<number | undefined>(width).fill(undefined)
  for (const sample of course) {
    const at = Math.min(width - 1, Math.floor((sample.ms / end) * width))
    lowest[at] = Math.min(lowest[at] ?? Number.MAX_SAFE_INTEGER, sample.availableBytes)
  }
  let last = scale.sizeBytes
  return lowest
    .map((bytes) => {
      last = bytes ?? last
      const step = Math.floor((last / scale.sizeBytes) * STEPS.length)
      return STEPS[Math.min(STEPS.length - 1, Math.max(0, step))]
    })
    .join('')
}
