import type { Writable } from 'node:stream'
import { describeMoment, drawMoment, isWorthALine, type Scale } from './draw.js'
import type { Sample } from './sample.js'

/** Where the demo talks: on a terminal with a picture that moves, in a log file with plain lines. */
export interface Screen {
  say(text?: string): void
  heading(text: string): void
  /** Shows the latest look at the machine. */
  show(sample: Sample, scale: Scale, cgroupName: string): void
  /** Leaves the picture standing of the moment when least was available. */
  endPicture(): void
}

/** Plain lines are written at least this often while something goes on. */
const LINE_EVERY_MS = 5_000

const ERASE_TO_END = '\x1b[J'
const BOLD = '\x1b[1m'
const RED = '\x1b[31m'
const RESET = '\x1b[0m'

export interface ScreenOptions {
  stream: Writable
  isTerminal: boolean
  /** False with NO_COLOR or TERM=dumb. */
  color: boolean
  columns: () => number
}

/** How `stream` wants to be written to. */
export function screenOptionsFor(stream: NodeJS.WriteStream, env = process.env): ScreenOptions {
  const isTerminal = stream.isTTY === true && env.TERM !== 'dumb'
  return {
    stream,
    isTerminal,
    color: isTerminal && (env.NO_COLOR ?? '') === '',
    columns: () => stream.columns ?? 80,
  }
}

export function createScreen({ stream, isTerminal, color, columns }: ScreenOptions): Screen {
  let pictureLines = 0
  let last: Sample | undefined
  let lastMs = 0

  const erasePicture = () => {
    if (pictureLines > 0) stream.write(`\x1b[${pictureLines}A\r${ERASE_TO_END}`)
    pictureLines = 0
  }
  const paint = (code: string, text: string) => (color ? `${code}${text}${RESET}` : text)

  let picture: string[] = []
  let worst: { sample: Sample; picture: string[] } | undefined
  const drawPicture = () => {
    if (picture.length === 0) return
    // A line that wraps would be two lines to erase.
    stream.write(`${picture.map((line) => cut(line, columns())).join('\n')}\n`)
    pictureLines = picture.length
  }

  return {
    say(text = '') {
      erasePicture()
      stream.write(`${text}\n`)
      if (isTerminal) drawPicture()
    },
    heading(text) {
      this.say(`\n${paint(BOLD, text)}`)
    },
    show(sample, scale, cgroupName) {
      if (isTerminal) {
        erasePicture()
        picture = drawMoment(sample, scale, cgroupName, columns())
        if (worst === undefined || sample.availableBytes < worst.sample.availableBytes) worst = { sample, picture }
        drawPicture()
        return
      }
      if (!isWorthALine(last, sample, scale) && sample.ms - lastMs < LINE_EVERY_MS && sample.ms >= lastMs) return
      last = sample
      lastMs = sample.ms
      stream.write(`${describeMoment(sample, scale, cgroupName)}\n`)
    },
    endPicture() {
      if (worst !== undefined) {
        erasePicture()
        picture = worst.picture.map((line) => (line.endsWith('!') ? paint(RED, line) : line))
        drawPicture()
      }
      worst = undefined
      picture = []
      pictureLines = 0
      last = undefined
      lastMs = 0
    },
  }
}

function cut(line: string, columns: number): string {
  return line.length < columns || line.startsWith('\x1b') ? line : `${line.slice(0, Math.max(1, columns - 2))}…`
}
