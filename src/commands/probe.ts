import { Flags } from '@oclif/core'
import { BaseCommand } from '../cli/base-command.js'
import { ExpectedError } from '../errors.js'
import { requireCommand, splitAtCommand } from '../probe/arguments.js'
import type { ProbeReport } from '../probe/layers.js'
import { probe } from '../probe/probe.js'
import { probeView } from '../views/probe-view.js'

export default class ProbeCommand extends BaseCommand {
  static override summary =
    'Run a program and show what each layer tells it of memory, what it takes, and what is refused.'
  static override description =
    `The program runs here, without a container, under the shim; it has our stdin and terminal, and its exit code becomes ours.
The report follows on stdout. With --json the program's own stdout goes to stderr, so that stdout holds the report alone.`
  static override usage =
    'probe [--budget SIZE] [--sim SIZE] [--reserve SIZE] [--trace] [--json] -- COMMAND [ARGUMENT...]'
  static override examples = [
    {
      command: '<%= config.bin %> probe -- python3 program.py',
      description: "Just watch: the machine's memory stands for a budget.",
    },
    {
      command: '<%= config.bin %> probe --budget 4g --sim 16g -- python3 program.py',
      description: 'With 4 GiB of a simulated GB10 of 16 GiB.',
    },
  ]
  // What follows the options is the program's, and split off before oclif parses.
  static override strict = false
  static override flags = {
    budget: Flags.string({ helpValue: 'SIZE', description: 'what the program may hold, CPU and GPU together' }),
    sim: Flags.string({ helpValue: 'SIZE', description: 'run on a simulated GB10 of this size' }),
    reserve: Flags.string({ helpValue: 'SIZE', description: 'what the machine keeps (default 0)' }),
    trace: Flags.boolean({ description: 'tell each call as it comes, on stderr' }),
  }

  async run(): Promise<ProbeReport> {
    const { own, command } = splitAtCommand(this.argv)
    const { flags } = await this.parse(ProbeCommand, own)
    const { report, notStarted } = await probe({
      ...flags,
      command: requireCommand(command),
      stdout: this.jsonEnabled() ? 'stderr' : 'stdout',
      environment: process.env,
    })
    // Nothing ran, so there is nothing to report.
    if (notStarted !== undefined) throw new ExpectedError('NOT_STARTED', notStarted, { exitCode: report.exitCode })
    process.exitCode = report.exitCode
    this.print(probeView(report))
    return report
  }
}
