import { BaseCommand } from '../cli/base-command.js'
import { hostSizesInForce } from '../cli/compile-for-host.js'
import { hostPaths } from '../host/paths.js'
import { readStatus, type Status } from '../host/status.js'
import { nameContainers } from '../launch/container-names.js'
import { statusView } from '../views/status-view.js'

export default class StatusCommand extends BaseCommand {
  static override summary = "Show the machine's memory, the guard, and what each container holds of its budget."
  static override examples = [
    { command: '<%= config.bin %> status', description: 'The machine and its containers, once.' },
    {
      command: "<%= config.bin %> status --json | jq '.machine.leftBytes'",
      description: 'What a new container could get.',
    },
  ]

  async run(): Promise<Status> {
    await this.parse(StatusCommand)
    const paths = hostPaths()
    const status = await nameContainers(await readStatus({ paths, ...hostSizesInForce(paths, this.config.version) }))
    this.print(statusView(status))
    return status
  }
}
