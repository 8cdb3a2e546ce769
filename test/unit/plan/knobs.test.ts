import { describe, expect, test } from 'vitest'
import { KNOBS } from '../../../src/plan/knobs.js'
import { expandPlaceholders, placeholderValues } from '../../../src/plan/placeholders.js'
import { defaultPolicy } from '../../../src/plan/policy.js'

const values = placeholderValues({ budgetBytes: 1, engineBytes: 2, ledger: '/l', id: 'i' })

describe('engine knobs', () => {
  test('every knob of the policy has an entry that gives its reason', () => {
    expect(KNOBS.map((knob) => knob.name).sort()).toEqual(Object.keys(defaultPolicy.knobs).sort())
    for (const knob of KNOBS) expect(knob.source.length).toBeGreaterThan(40)
  })
  for (const group of KNOBS.flatMap((knob) => knob.groups)) {
    test(`${group.engine}: every assignment is NAME=value with known placeholders`, () => {
      for (const assignment of group.env) {
        expect(expandPlaceholders(assignment, values)).toMatch(/^[A-Z][A-Z0-9_]*=[a-z0-9.]+$/)
      }
    })
    test(`${group.engine}: a value of the person for one of its own sizes stops the group`, () => {
      const [first] = group.env
      expect(group.unlessEnv).toContain(first?.split('=')[0])
    })
  }
  test('JAX is never given two names for one fraction, on which it stops', () => {
    const names = KNOBS.flatMap((knob) => knob.groups).flatMap((group) => group.env)
    expect(names.filter((name) => name.includes('MEM_FRACTION'))).toEqual([])
  })
  test('PyTorch is given no allocator option, on which older versions stop', () => {
    expect(JSON.stringify(KNOBS.flatMap((knob) => knob.groups))).not.toContain('ALLOC_CONF')
  })
})
