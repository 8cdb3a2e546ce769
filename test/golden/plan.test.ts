import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { hostPaths } from '../../src/host/paths.js'
import { compilePlan } from '../../src/plan/compile.js'
import { type FlagsInput, planToFlags } from '../../src/plan/flags.js'
import { engineBytesOf } from '../../src/plan/placeholders.js'
import type { Plan } from '../../src/plan/plan.js'
import { parsePolicy } from '../../src/plan/policy.js'

// Accept a wanted change with: npx vitest run --project unit test/golden --update

const casesDir = (name: string) => new URL(`cases/${name}/`, import.meta.url)
const readJson = (url: URL) => JSON.parse(readFileSync(url, 'utf8'))
const casesIn = (name: string) => readdirSync(casesDir(name)).filter((file) => file.endsWith('.in.json'))
const printed = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`

interface PlanCase {
  policy: unknown
  memTotalBytes: number
  prefix: string
}

function compileCase({ policy, memTotalBytes, prefix }: PlanCase): Plan {
  return compilePlan({
    policy: parsePolicy(policy, 'policy'),
    memTotalBytes,
    paths: hostPaths(prefix),
    nextRuntime: '/usr/bin/runc',
    packageVersion: '0.1.0',
  })
}

describe('policy and machine become the plan', () => {
  for (const name of casesIn('plan')) {
    test(name.replace('.in.json', ''), async () => {
      const plan = compileCase(readJson(new URL(name, casesDir('plan'))))
      await expect(printed(plan)).toMatchFileSnapshot(new URL(name.replace('.in.', '.out.'), casesDir('plan')).pathname)
    })
  }
})

interface FlagsCase extends Omit<FlagsInput, 'plan' | 'engine' | 'grant'> {
  plan: PlanCase
  budgetBytes: number
}

describe('the plan becomes flags', () => {
  for (const name of casesIn('flags')) {
    for (const engine of ['docker', 'podman'] as const) {
      test(`${name.replace('.in.json', '')} for ${engine}`, async () => {
        const { plan, budgetBytes, ...rest } = readJson(new URL(name, casesDir('flags'))) as FlagsCase
        const grant = {
          id: 'c0ffee',
          budgetBytes,
          engineBytes: engineBytesOf(budgetBytes),
          reserveBytes: 0,
          priority: 0,
          ledger: `${hostPaths(plan.prefix).ledgerDir}/c0ffee`,
        }
        const flags = planToFlags({ ...rest, plan: compileCase(plan), engine, grant })
        await expect(printed(flags)).toMatchFileSnapshot(
          new URL(name.replace('.in.json', `.${engine}.json`), casesDir('flags')).pathname,
        )
      })
    }
  }
})
