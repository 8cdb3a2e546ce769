import { WrappedEngineCommand } from '../launch/wrapped-engine-command.js'

export default class DockerCommand extends WrappedEngineCommand {
  static override summary = 'Run docker; containers that it runs or creates get a memory budget.'
  static override description = `Everything after docker is docker's own: same flags, same output, same exit codes.
Before it, spark-run takes --budget SIZE (CPU and GPU memory together), --reserve SIZE (what the host keeps while this
container lives), --priority NUMBER (the lowest dies first), --dry-run and --quiet.
For the flags of docker itself: spark-run docker run --help`
  static override usage =
    '[--budget SIZE] [--reserve SIZE] [--priority NUMBER] [--dry-run] [--quiet] docker ARGUMENT...'
  static override examples = [
    {
      command: '<%= config.bin %> docker run --rm --gpus all IMAGE',
      description: 'Budget: what the host and the others leave.',
    },
    {
      command: '<%= config.bin %> --budget 40g docker run --rm --gpus all IMAGE',
      description: '40 GiB, CPU and GPU together.',
    },
    {
      command: '<%= config.bin %> --dry-run docker run IMAGE',
      description: 'The exact docker command, and nothing started.',
    },
  ]
  protected readonly engine = 'docker'
}
