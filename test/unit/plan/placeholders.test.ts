import { describe, expect, test } from 'vitest'
import { engineBytesOf, expandPlaceholders, placeholder, placeholderValues } from '../../../src/plan/placeholders.js'

const GIB = 1024 ** 3
const MIB = 1024 ** 2
const values = placeholderValues({ budgetBytes: 4 * GIB + 1, engineBytes: 3 * GIB, ledger: '/run/$&/l', id: 'c0ffee' })

describe('placeholders', () => {
  test('each is replaced, everywhere', () => {
    const names = ['budget_bytes', 'budget_mib', 'engine_bytes', 'ledger', 'id'] as const
    expect(expandPlaceholders(names.map(placeholder).join(' '), values)).toBe(
      '4294967297 4096 3221225472 /run/$&/l c0ffee',
    )
  })
  test('a dollar sign alone is left as it is', () => expect(expandPlaceholders('$HOME $', values)).toBe('$HOME $'))
  test('one that does not exist is an error, also a name every object has', () => {
    for (const name of ['budget', 'toString', '']) {
      expect(() => expandPlaceholders(`x\${${name}}`, values)).toThrow(`unknown placeholder \${${name}}`)
    }
  })
})

describe('what an engine plans with', () => {
  test('is 90 % of the budget in whole 2 MiB', () => {
    expect(engineBytesOf(40 * GIB)).toBe(36 * GIB)
    expect(engineBytesOf(4 * GIB)).toBe(3584 * MIB)
    expect(engineBytesOf(280 * MIB)).toBe(252 * MIB)
  })
  test('is exact for the largest budgets', () => {
    const engine = engineBytesOf(Number.MAX_SAFE_INTEGER)
    expect(Number.isSafeInteger(engine)).toBe(true)
    expect(engine % (2 * MIB)).toBe(0)
  })
})
