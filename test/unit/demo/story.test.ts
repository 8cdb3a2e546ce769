import { describe, expect, it } from 'vitest'
import { createDriftMeter, isNotable } from '../../../src/demo/drift.js'
import { describeFailure } from '../../../src/demo/failure.js'
import { tellDrift } from '../../../src/demo/play.js'
import { tellBudget } from '../../../src/demo/scenes/budget.js'
import { tellGuard } from '../../../src/demo/scenes/guard.js'
import { tellMax } from '../../../src/demo/scenes/max.js'
import { tellUnprotected } from '../../../src/demo/scenes/unprotected.js'
import { ExpectedError } from '../../../src/errors.js'

const MIB = 1024 ** 2
const saw = { totalBytes: 1024 * MIB, freeBytes: 1000 * MIB }
const killed = 'killed x to save the host: it was over its budget'

describe('what is told of a scene', () => {
  it('budget: it went on only where it did', () => {
    const end = {
      saw,
      heldBytes: 900 * MIB,
      refusals: 2,
      refusedWith: 'CUDA_ERROR_OUT_OF_MEMORY',
      exitCode: 0,
      killed: undefined,
    }
    expect(tellBudget(end).join(' ')).toBe(
      'The engine was told of 1.0 GiB and took 900.0 MiB. It asked for more 2 times and was told CUDA_ERROR_OUT_OF_MEMORY. It went on with what it had and ended by itself.',
    )
    expect(tellBudget({ ...end, exitCode: 137, killed }).at(-1)).toBe(`It was killed by the guard: ${killed}`)
    expect(tellBudget({ ...end, exitCode: 139 }).at(-1)).toBe('It ended with exit code 139.')
    expect(tellBudget({ ...end, exitCode: null }).at(-1)).toBe('It did not end in time and was ended.')
    expect(tellBudget({ ...end, saw: null, refusals: 0, exitCode: 125 })).toEqual([
      'It was refused nothing.',
      'It ended with exit code 125.',
    ])
  })

  it('max: the same', () => {
    const end = { saw, heldBytes: 900 * MIB, refusals: 1, exitCode: 0, killed: undefined }
    expect(tellMax(end).at(-1)).toBe('MAX went on with what it had and ended by itself.')
    expect(tellMax({ ...end, exitCode: 137, killed }).at(-1)).toBe(`MAX was killed by the guard: ${killed}`)
    expect(tellMax({ ...end, saw: null, refusals: 0, exitCode: 1 })).toEqual(['MAX ended with exit code 1.'])
  })

  it('unprotected: the reserve is gone only where it is', () => {
    const end = { saw, heldBytes: 900 * MIB, statsBytes: MIB, exitCode: 0, killed: undefined, reserveBytes: 256 * MIB }
    expect(tellUnprotected({ ...end, minAvailableBytes: 0 }).at(-1)).toMatch(/^The reserve is gone\./)
    expect(tellUnprotected({ ...end, minAvailableBytes: 300 * MIB }).at(-1)).toBe(
      'The reserve was not touched: 300.0 MiB were always available.',
    )
    expect(tellUnprotected({ ...end, exitCode: 137, minAvailableBytes: 0 })).toContain('It ended with exit code 137.')
  })

  it('guard: it was killed only where there is a record', () => {
    const end = {
      ...{
        name: 'demo-bypass',
        budgetBytes: 256 * MIB,
        heldBytes: 500 * MIB,
        exitCode: 137,
        killed,
        sentenceInLog: true,
      },
      ...{ explanation: 'it was killed', guardSeesUse: true, bystanderAlive: true, bystanderKilled: undefined },
    }
    expect(tellGuard(end)).toEqual([
      'The engine had a budget of 256.0 MiB and had taken 500.0 MiB when it was killed.',
      'Its own log, where its owner looks first, has the same sentence.',
      'spark-run explain demo-bypass says:',
      '  it was killed',
      'The bystander still runs and holds its memory.',
    ])
    const bad = {
      ...end,
      exitCode: 125,
      killed: undefined,
      sentenceInLog: false,
      explanation: '',
      bystanderAlive: false,
    }
    expect(tellGuard({ ...bad, bystanderKilled: killed })).toEqual([
      'The engine had a budget of 256.0 MiB and had taken 500.0 MiB; the guard has no record of a kill.',
      'It ended with exit code 125.',
      `The bystander is dead: ${killed}.`,
    ])
  })
})

describe('memory that others move', () => {
  const driftAfter = (looks: [ms: number, mib: number][]) => {
    const meter = createDriftMeter()
    for (const [ms, mib] of looks) meter.add(ms, mib * MIB)
    return meter.read()
  }

  it("is told apart from pages that are nobody's for a moment", () => {
    const moment = driftAfter([
      [0, 0],
      [400, 0],
      [500, 900],
      [900, 900],
      [1000, 0],
      [1700, 0],
    ])
    expect(moment).toEqual({ othersTookBytes: 0, othersGaveBackBytes: 0 })
    expect(isNotable(moment, 4096 * MIB)).toBe(false)
    const lasting = driftAfter([
      [0, 0],
      [500, 300],
      [800, 400],
      [1200, 350],
      [1900, -20],
      [2600, -30],
    ])
    expect(lasting).toEqual({ othersTookBytes: 300 * MIB, othersGaveBackBytes: 20 * MIB })
    expect(isNotable(lasting, 4096 * MIB)).toBe(true)
    expect(isNotable({ othersTookBytes: 0, othersGaveBackBytes: 160 * MIB }, 4096 * MIB)).toBe(false)
    expect(isNotable({ othersTookBytes: 0, othersGaveBackBytes: 160 * MIB }, 1024 * MIB)).toBe(true)
  })

  it('is said aloud where it is much', () => {
    expect(tellDrift({ othersTookBytes: 300 * MIB, othersGaveBackBytes: 20 * MIB }, 4096 * MIB)).toEqual([
      'Note: other programs of this host took 300.0 MiB meanwhile.',
    ])
    expect(tellDrift({ othersTookBytes: 0, othersGaveBackBytes: 512 * MIB }, 4096 * MIB)).toEqual([
      'Note: other programs of this host gave back 512.0 MiB meanwhile.',
    ])
  })
})

describe('a failure of the demo', () => {
  it('is one sentence, whoever made the mistake', () => {
    expect(describeFailure(new ExpectedError('X', 'no', { hint: 'yes', exitCode: 2 }))).toEqual({
      error: { code: 'X', message: 'no', hint: 'yes', exit: 2 },
    })
    const { error } = describeFailure(new TypeError('x is not a function\n    at y'))
    expect(error).toMatchObject({
      code: 'UNEXPECTED',
      message: 'this should not have happened: x is not a function',
      exit: 70,
    })
  })
})
