import { Args } from '@oclif/core'
import { BaseCommand } from '../cli/base-command.js'
import { hostPaths } from '../host/paths.js'
import { type Explanation, explainVerdict } from '../launch/explain.js'
import { readEvidence } from '../launch/explain-evidence.js'
import { computeVerdict } from '../launch/explain-verdict.js'
import { explainView } from '../views/explain-view.js'

export default class ExplainCommand extends BaseCommand {
  static override summary = 'Tell why a container died: guard, kernel, refusal or something else.'
  static override description =
    'Works for containers that are gone, too. Exit code 1 where nothing is known about the container.'
  static override examples = [
    { command: '<%= config.bin %> explain llm', description: 'By name, id, the first letters of an id, or request.' },
    {
      command: '<%= config.bin %> explain llm --json',
      description: 'With the memory of the last ten seconds as numbers.',
    },
  ]
  static override args = {
    container: Args.string({ required: true, ignoreStdin: true, description: 'name, id or request of the container' }),
  }

  async run(): Promise<Explanation> {
    const { args } = await this.parse(ExplainCommand)
    const evidence = await readEvidence(args.container, hostPaths())
    const explanation = explainVerdict(args.container, computeVerdict(args.container, evidence))
    this.print(explainView(explanation))
    if (explanation.verdict === 'unknown') process.exitCode = 1
    return explanation
  }
}
