import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { defaultPolicy, parsePolicy, readPolicy } from '../../../src/plan/policy.js'
import { thrown } from '../../support/thrown.js'

const dir = mkdtempSync(path.join(tmpdir(), 'spark-run-policy-'))
afterAll(() => rmSync(dir, { recursive: true }))

describe('a policy that says little keeps the defaults for the rest', () => {
  test('an empty object is the default policy', () => {
    expect(parsePolicy({}, 'policy')).toEqual(defaultPolicy)
  })
  test('one knob turned off leaves the others on', () => {
    expect(parsePolicy({ knobs: { jax: false } }, 'policy').knobs).toEqual({ ...defaultPolicy.knobs, jax: false })
  })
  test('every key of the documented example is understood', () => {
    const example = {
      reserve: '10%',
      withhold: '0',
      budget: { default: 'left', max: '80%', min: '256m' },
      onGuardMissing: 'refuse',
      onForeign: 'kill-largest',
      nextRuntime: '/usr/bin/runc',
      cgroup: { limitMemory: true, oomScoreAdj: 500 },
      shim: true,
      knobs: { max: true, pytorch: true, jax: true, vllm: true },
    }
    expect(parsePolicy(example, 'policy')).toEqual(example)
  })
  test('sizes may be whole bytes, and withhold may be the number 0', () => {
    expect(parsePolicy({ reserve: 1073741824, withhold: 0 }, 'policy')).toMatchObject({
      reserve: 1073741824,
      withhold: 0,
    })
  })
})

const SIZE = 'a size such as "40g", "512m" or "30%"'
const refused: [string, unknown, string][] = [
  ['an unknown key', { reserv: '8g' }, 'reserv is not a key of the policy, allowed: reserve, withhold, budget,'],
  [
    'an unknown key inside',
    { budget: { maximum: '8g' } },
    'budget.maximum is not a key of the policy, allowed in budget: default, max, min',
  ],
  ['a word for a size', { reserve: 'much' }, `reserve is "much", allowed: ${SIZE}`],
  ['a fraction of a byte', { reserve: 0.5 }, `reserve is 0.5, allowed: ${SIZE}`],
  ['a negative size', { reserve: -1 }, `reserve is -1, allowed: ${SIZE}`],
  ['no reserve at all', { reserve: 0 }, `reserve is 0, allowed: ${SIZE}`],
  ['null for a size', { budget: { max: null } }, `budget.max is null, allowed: ${SIZE}`],
  [
    'an unknown word for the default budget',
    { budget: { default: 'rest' } },
    `budget.default is "rest", allowed: "left" or ${SIZE}`,
  ],
  ['more than all', { budget: { max: '101%' } }, `budget.max is "101%", allowed: ${SIZE}`],
  ['a text for yes', { shim: 'yes' }, 'shim is "yes", allowed: true or false'],
  [
    'an unknown answer to a missing guard',
    { onGuardMissing: 'ignore' },
    'onGuardMissing is "ignore", allowed: "refuse" or "warn"',
  ],
  [
    'an unknown answer to foreign memory',
    { onForeign: 'kill-all' },
    'onForeign is "kill-all", allowed: "nothing" or "kill-largest"',
  ],
  [
    'a relative runtime',
    { nextRuntime: 'runc' },
    'nextRuntime is "runc", allowed: an absolute path such as "/usr/bin/runc"',
  ],
  [
    'a score beyond the kernel',
    { cgroup: { oomScoreAdj: 1001 } },
    'cgroup.oomScoreAdj is 1001, allowed: a whole number from 0 to 1000',
  ],
  [
    'a section that is no object',
    { cgroup: true },
    'cgroup is true, allowed: an object with the keys limitMemory, oomScoreAdj',
  ],
  ['a policy that is no object', ['8g'], 'the policy is ["8g"], allowed: an object with the keys reserve, withhold,'],
  [
    'a value too long to show whole',
    { shim: 'y'.repeat(300) },
    'shim is "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…, allowed: true or false',
  ],
]

describe('a policy with a mistake is refused with source, key, value and what is allowed', () => {
  for (const [name, value, sentence] of refused) {
    test(name, () => {
      const error = thrown(() => parsePolicy(value, '/etc/spark-run/config.json'))
      expect(error).toMatchObject({ code: 'POLICY_INVALID', exitCode: 1 })
      expect(error.message).toContain(`/etc/spark-run/config.json: ${sentence}`)
      expect(error.message).not.toContain('\n')
    })
  }
})

describe('policy files', () => {
  const file = (name: string, text: string) => {
    const full = path.join(dir, name)
    writeFileSync(full, text)
    return full
  }
  test('a missing file means the defaults', () => {
    expect(readPolicy(path.join(dir, 'absent.json'))).toBe(defaultPolicy)
  })
  test('an empty file means the defaults', () => {
    expect(readPolicy(file('empty.json', '\n'))).toBe(defaultPolicy)
  })
  test('comments and a trailing comma are welcome', () => {
    expect(readPolicy(file('comments.json', '{\n  // keep more\n  "reserve": "16g",\n}\n')).reserve).toBe('16g')
  })
  test('broken JSON is refused with line and column', () => {
    const broken = file('broken.json', '{\n  "reserve" "8g"\n}\n')
    expect(thrown(() => readPolicy(broken)).message).toBe(
      `${broken}: broken JSON at line 2, column 13: a colon was expected here`,
    )
  })
  test('a directory in its place is refused with its name', () => {
    expect(thrown(() => readPolicy(dir))).toMatchObject({ code: 'POLICY_UNREADABLE' })
  })
})
