import { traceView } from '../views/trace-view.js'
import type { TraceLine } from './trace-line.js'

/** Tells calls on stderr as they come. A stderr that nobody reads any more is no reason to end the program. */
export function followOnStderr(): (line: TraceLine) => void {
  process.stderr.on('error', () => {})
  return (line) => {
    process.stderr.write(`${traceView(line)}\n`)
  }
}
