import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { parsePlan, readPlan } from '../../../src/plan/plan.js'
import { thrown } from '../../support/thrown.js'
import { samplePlan } from './sample-plan.js'

const dir = mkdtempSync(path.join(tmpdir(), 'spark-run-plan-'))
afterAll(() => rmSync(dir, { recursive: true }))

describe('plans from a file', () => {
  const file = (text: string) => {
    const full = path.join(dir, 'plan.json')
    writeFileSync(full, text)
    return full
  }
  test('a compiled plan is read back as it was written', () => {
    expect(readPlan(file(JSON.stringify(samplePlan())))).toEqual(samplePlan())
  })
  test('unknown keys are ignored', () => {
    expect(parsePlan({ ...samplePlan(), future: true }, 'plan')).toEqual(samplePlan())
  })
  test('a missing file says that nothing is installed', () => {
    const absent = path.join(dir, 'absent.json')
    expect(thrown(() => readPlan(absent))).toMatchObject({
      code: 'PLAN_MISSING',
      message: `there is no plan at ${absent}: spark-run is not installed here`,
    })
  })
  test('broken JSON is refused', () => {
    const broken = file('{"planVersion": 1,')
    expect(thrown(() => readPlan(broken))).toMatchObject({
      code: 'PLAN_INVALID',
      message: `${broken} is not a plan: it is broken JSON`,
    })
  })
})

describe('what is not a plan of ours is refused with a sentence', () => {
  const refused: [string, unknown, string, string][] = [
    [
      'another version',
      { ...samplePlan(), planVersion: 2 },
      'PLAN_VERSION',
      'plan is a plan of version 2, this spark-run reads version 1',
    ],
    ['no version', {}, 'PLAN_INVALID', 'plan is not a plan: planVersion is missing'],
    ['no object', 'text', 'PLAN_INVALID', 'plan is not a plan: it is no object'],
    [
      'a fraction of a byte',
      { ...samplePlan(), host: { reserveBytes: 0.5, withholdBytes: 0 } },
      'PLAN_INVALID',
      'host.reserveBytes should be whole bytes, is 0.5',
    ],
    ['a missing section', { ...samplePlan(), containerEdits: undefined }, 'PLAN_INVALID', 'containerEdits is missing'],
    [
      'a variable without a value',
      { ...samplePlan(), containerEdits: { ...samplePlan().containerEdits, env: [{ unlessEnv: [], env: ['A'] }] } },
      'PLAN_INVALID',
      'containerEdits.env[0].env[0] should be NAME=value, is "A"',
    ],
  ]
  for (const [name, value, code, sentence] of refused) {
    test(name, () => {
      const error = thrown(() => parsePlan(value, 'plan'))
      expect(error.code).toBe(code)
      expect(error.message).toContain(sentence)
      expect(error.hint).toContain('spark-run install')
    })
  }
})
