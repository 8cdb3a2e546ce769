import { describe, expect, test } from 'vitest'
import { BUDGET_WISHES, pickWish } from '../../../src/plan/wish.js'
import { thrown } from '../../support/thrown.js'

const GIB = 1024 ** 3
const pick = (env: Record<string, string>) => pickWish(BUDGET_WISHES, env, 100 * GIB)

describe('the budget a container environment asks for', () => {
  test('nothing asked is no wish', () => expect(pick({ PATH: '/bin' })).toBeUndefined())
  test('our own variable counts in bytes', () =>
    expect(pick({ SPARK_RUN_BUDGET: '1073741824' })).toEqual({ env: 'SPARK_RUN_BUDGET', bytes: GIB }))
  test('the variables of MAX users count in gigabytes', () =>
    expect(pick({ MAX_MEMORY_LIMIT_GB: '40' })).toEqual({ env: 'MAX_MEMORY_LIMIT_GB', bytes: 40 * GIB }))
  test("NVIDIA's variable counts in mebibytes", () =>
    expect(pick({ NVIDIA_GPU_MEMORY_LIMIT: '4096' })?.bytes).toBe(4 * GIB))
  test('a value with a unit of its own keeps it', () =>
    expect(pick({ MAX_MEMORY_LIMIT_GB: '512m' })?.bytes).toBe(GIB / 2))
  test('a percentage is of what containers share', () =>
    expect(pick({ SPARK_RUN_BUDGET: '30%' })?.bytes).toBe(30 * GIB))
  test('the first in the list wins, not the first in the environment', () =>
    expect(pick({ NVIDIA_GPU_MEMORY_LIMIT: '1', NVML_UNIFIED_MEMORY_CAP_GB: '2', MAX_MEMORY_LIMIT_GB: '3' })?.env).toBe(
      'MAX_MEMORY_LIMIT_GB',
    ))
  test('an empty value is no wish', () =>
    expect(pick({ SPARK_RUN_BUDGET: '', MAX_MEMORY_LIMIT_GB: '8' })?.env).toBe('MAX_MEMORY_LIMIT_GB'))
  test('a value that is no size is refused by name, and the next wish is not tried', () => {
    const error = thrown(() => pick({ SPARK_RUN_BUDGET: '40x', MAX_MEMORY_LIMIT_GB: '8' }))
    expect(error.message).toBe(
      "the container's SPARK_RUN_BUDGET 40x is not a size: write 40g, 512m, plain bytes or 30%",
    )
  })
  test('a name every object has is no wish', () =>
    expect(pickWish([{ env: 'toString', unitBytes: 1 }], {}, GIB)).toBeUndefined())
})
