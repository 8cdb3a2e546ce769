import { accessSync } from 'node:fs'
import { Flags } from '@oclif/core'
import { BaseCommand } from '../cli/base-command.js'
import { compileForHost } from '../cli/compile-for-host.js'
import { EXIT_USAGE, ExpectedError } from '../errors.js'
import { hostPaths } from '../host/paths.js'
import type { Plan } from '../plan/plan.js'
import { planView } from '../views/plan-view.js'

export default class PlanCommand extends BaseCommand {
  static override summary = 'Show what containers get on this machine: reserve, budgets, fences, variables.'
  static override description =
    'Compiles the policy as install would, and changes nothing. With --json: the plan itself, as it would be written.'
  static override examples = [
    { command: '<%= config.bin %> plan', description: 'This machine under its policy.' },
    { command: '<%= config.bin %> plan --policy ./config.json', description: 'The same machine under another policy.' },
  ]
  static override flags = {
    policy: Flags.string({ helpValue: 'FILE', summary: "Policy to compile instead of this machine's own." }),
  }

  async run(): Promise<Plan> {
    const { flags } = await this.parse(PlanCommand)
    if (flags.policy !== undefined) requireFile(flags.policy)
    const { plan, memTotalBytes } = compileForHost(hostPaths(), this.config.version, flags.policy)
    this.print(planView(plan, memTotalBytes))
    return plan
  }
}

/** The machine's own policy may be missing, one that was named may not. */
function requireFile(file: string): void {
  try {
    accessSync(file)
  } catch (cause) {
    throw new ExpectedError('POLICY_MISSING', `there is no policy file ${file}`, { exitCode: EXIT_USAGE, cause })
  }
}
