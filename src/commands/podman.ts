import { WrappedEngineCommand } from '../launch/wrapped-engine-command.js'

export default class PodmanCommand extends WrappedEngineCommand {
  static override summary = 'Run podman; containers that it runs or creates get a memory budget.'
  static override description = `Everything after podman is podman's own: same flags, same output, same exit codes.
Before it, spark-run takes --budget SIZE (CPU and GPU memory together), --reserve SIZE (what the host keeps while this
container lives), --priority NUMBER (the lowest dies first), --dry-run and --quiet.
For the flags of podman itself: spark-run podman run --help`
  static override usage =
    '[--budget SIZE] [--reserve SIZE] [--priority NUMBER] [--dry-run] [--quiet] podman ARGUMENT...'
  static override examples = [
    {
      command: '<%= config.bin %> podman run --rm --gpus all IMAGE',
      description: 'Budget: what the host and the others leave.',
    },
    {
      command: '<%= config.bin %> --budget 40g podman run --rm --gpus all IMAGE',
      description: '40 GiB, CPU and GPU together.',
    },
    {
      command: '<%= config.bin %> --dry-run podman run IMAGE',
      description: 'The exact podman command, and nothing started.',
    },
  ]
  protected readonly engine = 'podman'
}
