import path from 'node:path'
import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../cli/base-command.js'
import { ENGINE_NAMES } from '../engines/engine.js'
import { parseEngineName } from '../engines/engine-name.js'
import { EXIT_USAGE, ExpectedError } from '../errors.js'
import { hostPaths } from '../host/paths.js'
import { askYes } from '../install/ask.js'
import { type UninstallResult, uninstall } from '../install/uninstall.js'
import { uninstallView } from '../views/install-view.js'

export default class UninstallCommand extends BaseCommand {
  static override summary = 'Undo what install did to Docker, Podman and this machine.'
  static override description =
    'Files that nobody edited since become byte for byte what they were. Refuses while containers need the runtime.'
  static override examples = [
    {
      command: 'sudo <%= config.bin %> uninstall docker',
      description: 'Docker as it was; the machine too, if it was the last.',
    },
    { command: 'sudo <%= config.bin %> uninstall --all --dry-run', description: 'Show every change, make none.' },
  ]
  static override args = {
    engine: Args.string({ ignoreStdin: true, description: 'docker or podman' }),
  }
  static override flags = {
    all: Flags.boolean({ summary: 'From every engine, and from the machine.' }),
    'dry-run': Flags.boolean({ summary: 'Print the changes as a diff and make none.' }),
    yes: Flags.boolean({ char: 'y', summary: 'Do not ask.' }),
    force: Flags.boolean({
      summary: 'Where containers need the runtime: leave it as a pass-through that applies nothing, and end the guard.',
    }),
    'no-reload': Flags.boolean({ summary: 'Docker: write its file, but do not tell the daemon.' }),
    // Taken only to say why they are not.
    'daemon-json': Flags.string({ hidden: true }),
    'docker-host': Flags.string({ hidden: true }),
    prefix: Flags.string({ helpValue: 'DIR', summary: 'Undo a rehearsal under this directory.' }),
  }

  async run(): Promise<UninstallResult & { schemaVersion: 1 }> {
    const { args, flags } = await this.parse(UninstallCommand)
    if ((args.engine === undefined) === !flags.all) {
      throw new ExpectedError('USAGE', `name one engine (${ENGINE_NAMES.join(' or ')}), or give --all`, {
        exitCode: EXIT_USAGE,
      })
    }
    const recorded = (['daemon-json', 'docker-host'] as const).find((name) => flags[name] !== undefined)
    if (recorded !== undefined) {
      throw new ExpectedError(
        'USAGE',
        `uninstall takes no --${recorded}: it undoes the installation where its record says it was made; leave it out`,
        { exitCode: EXIT_USAGE },
      )
    }
    const result = await uninstall({
      engines: args.engine === undefined ? ENGINE_NAMES : [parseEngineName(args.engine)],
      paths: hostPaths(flags.prefix === undefined ? undefined : path.resolve(flags.prefix)),
      force: flags.force,
      dryRun: flags['dry-run'],
      reload: !flags['no-reload'],
      report: (line) => this.print([line]),
      ...(flags.yes ? {} : { confirm: (steps) => askYes(`This puts back or removes ${steps.length} files. Go on?`) }),
    })
    this.print(uninstallView(result))
    return { schemaVersion: 1, ...result }
  }
}
