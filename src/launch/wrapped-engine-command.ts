import { Command } from '@oclif/core'
import { launch } from './front.js'
import type { EngineName } from './own-options.js'

/**
 * Puts a wrapped engine into the help and the list of commands. Command lines reach the engine before oclif loads
 * (bin/spark-run.js); should one come through here, it goes the same way, from the raw arguments and never the parsed ones.
 */
export abstract class WrappedEngineCommand extends Command {
  static override strict = false
  protected abstract readonly engine: EngineName

  async run(): Promise<void> {
    process.exitCode = await launch([this.engine, ...this.argv])
  }
}
