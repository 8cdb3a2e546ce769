import { readMeminfo } from '../host/meminfo.js'
import type { SizeOptions } from './arguments.js'
import { runHeld } from './held-run.js'
import { computeProbeReport, type ProbeReport } from './layers.js'
import { observeHost } from './observer.js'
import { computeHeldSizes } from './sizes.js'
import { createTallier } from './tally.js'
import { followOnStderr } from './trace-screen.js'

export interface ProbeOptions extends SizeOptions {
  readonly trace: boolean
  readonly command: readonly string[]
  readonly environment: Readonly<NodeJS.ProcessEnv>
  /** Where the program's stdout goes. */
  readonly stdout: 'stdout' | 'stderr'
}

/** Runs a program under the shim and watches it from outside. Throws as {@link runHeld} does. */
export async function probe(options: ProbeOptions): Promise<{ report: ProbeReport; notStarted: string | undefined }> {
  const sizes = computeHeldSizes(options, readMeminfo().totalBytes)
  const tallier = createTallier()
  const tell = options.trace ? followOnStderr() : undefined
  const stopObserving = observeHost()
  try {
    const { command, environment, stdout } = options
    const result = await runHeld({
      ...{ sizes, command, environment, stdout },
      onLine: (line) => {
        tallier.add(line)
        tell?.(line)
      },
    })
    const { exitCode, ledger, notStarted } = result
    const facts = { command, exitCode, sizes, tally: tallier.tally(), ledger, host: stopObserving() }
    return { report: computeProbeReport(facts), notStarted }
  } catch (error) {
    stopObserving()
    throw error
  }
}
