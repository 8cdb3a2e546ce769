import path from 'node:path'
import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../cli/base-command.js'
import { parseEngineName } from '../engines/engine-name.js'
import { hostPaths } from '../host/paths.js'
import { askYes } from '../install/ask.js'
import { type InstallResult, install } from '../install/install.js'
import { installSummary, installView } from '../views/install-view.js'

export default class InstallCommand extends BaseCommand {
  static override summary = 'Install the runtime, the guard and the libraries, and tell Docker or Podman about them.'
  static override description =
    'Everything or nothing: when a step fails, the ones before are taken back. No container is stopped. Uninstall undoes it exactly.'
  static override examples = [
    { command: '<%= config.bin %> install docker --dry-run', description: 'Show every change, make none.' },
    { command: 'sudo <%= config.bin %> install docker', description: 'Then: docker run --runtime spark …' },
    { command: 'sudo <%= config.bin %> install podman', description: 'Then every podman run with a GPU is held.' },
  ]
  static override args = {
    engine: Args.string({ required: true, ignoreStdin: true, description: 'docker or podman' }),
  }
  static override flags = {
    'dry-run': Flags.boolean({ summary: 'Print the changes as a diff and make none.' }),
    yes: Flags.boolean({ char: 'y', summary: 'Do not ask.' }),
    'next-runtime': Flags.string({
      helpValue: 'PATH',
      summary: 'OCI runtime that starts the containers; default: the one the engine uses now.',
    }),
    'default-runtime': Flags.boolean({
      summary: 'Docker: also hold containers that name no runtime (sets "default-runtime").',
    }),
    'no-reload': Flags.boolean({ summary: 'Docker: write its file, but do not tell the daemon.' }),
    'daemon-json': Flags.string({
      helpValue: 'FILE',
      summary: "Docker's configuration file, where it is an unusual one.",
    }),
    'docker-host': Flags.string({ helpValue: 'URL', summary: 'Socket of the Docker daemon; default: DOCKER_HOST.' }),
    prefix: Flags.string({ helpValue: 'DIR', summary: 'Rehearse: put everything under this directory.' }),
  }

  async run(): Promise<InstallResult & { schemaVersion: 1 }> {
    const { args, flags } = await this.parse(InstallCommand)
    const engine = parseEngineName(args.engine)
    const result = await install({
      engine,
      paths: hostPaths(flags.prefix === undefined ? undefined : path.resolve(flags.prefix)),
      packageVersion: this.config.version,
      dryRun: flags['dry-run'],
      nextRuntime: flags['next-runtime'],
      reload: !flags['no-reload'],
      daemonJson: flags['daemon-json'],
      dockerHost: flags['docker-host'],
      defaultRuntime: flags['default-runtime'],
      report: (line) => this.print([line]),
      ...(flags.yes ? {} : { confirm: (changes) => askYes(`${installSummary(engine, changes)} Go on?`) }),
    })
    this.print(installView(result))
    return { schemaVersion: 1, ...result }
  }
}
