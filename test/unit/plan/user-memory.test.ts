import { expect, test } from 'vitest'
import { refuseOverBudget } from '../../../src/plan/user-memory.js'
import { thrown } from '../../support/thrown.js'

const BUDGET_BYTES = 600 * 1024 ** 2

test.each(['4g', '4G', '601m', '600.1m', '0.6gib', '1 GB', '1p', '629145601', '1e12'])(
  '-m %s undoes a budget of 600 MiB',
  (memory) => {
    const error = thrown(() => refuseOverBudget({ memory }, BUDGET_BYTES))
    expect(error.message).toBe(`-m ${memory} is more than the budget of 600.0 MiB: lower it or leave it out`)
    expect(error.exitCode).toBe(125)
  },
)

test('-m 0 is no limit', () => {
  expect(thrown(() => refuseOverBudget({ memory: '0' }, BUDGET_BYTES)).message).toBe(
    '-m 0 sets no limit at all, which the budget of 600.0 MiB does not allow: leave it out',
  )
})

// What docker itself cannot read it refuses itself.
test.each(['600m', '600MiB', '629145600b', '64m', '', 'much', '-1', 'g', undefined])('-m %s passes', (memory) => {
  expect(() => refuseOverBudget({ memory }, BUDGET_BYTES)).not.toThrow()
})
