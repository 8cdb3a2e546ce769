import { describe, expect, it } from 'vitest'
import { parseShimArguments, splitAtCommand } from '../../../src/probe/arguments.js'
import { computeHeldSizes } from '../../../src/probe/sizes.js'
import { thrown } from '../../support/thrown.js'

const GIB = 1024 ** 3

describe('where the command begins', () => {
  it.each([
    [
      ['--budget', '4g', '--', 'a', '--trace'],
      ['--budget', '4g'],
      ['a', '--trace'],
    ],
    [
      ['--budget', '4g', 'a', '--', 'b'],
      ['--budget', '4g'],
      ['a', '--', 'b'],
    ],
    [
      ['--budget=4g', '--trace', '--', '--', 'b'],
      ['--budget=4g', '--trace'],
      ['--', 'b'],
    ],
    [['--', ''], [], ['']],
    [['--json', '--budget', '4g', '--'], ['--json', '--budget', '4g'], []],
    [['--trace'], ['--trace'], []],
  ])('%j', (argv, own, command) => {
    expect(splitAtCommand(argv)).toEqual({ own, command })
  })
})

describe('arguments of npm run shim', () => {
  it('are sizes, a switch and a command', () => {
    expect(parseShimArguments(['--budget', '4g', '--sim=16g', '--trace', '--', 'ls', '-l'])).toEqual({
      ...{ help: false, trace: true, budget: '4g', sim: '16g' },
      command: ['ls', '-l'],
    })
    expect(parseShimArguments(['-h']).help).toBe(true)
  })

  it.each([
    [['--budget', '4g'], 'there is no command: write it behind the options and --, as in -- python3 program.py'],
    [
      ['--budget', '4g', '--', ''],
      'there is no command: write it behind the options and --, as in -- python3 program.py',
    ],
    [['--', 'ls'], 'how much may the program hold? Give it a size: --budget 4g'],
    [['--budget', '--', 'ls'], '--budget lacks its size: write --budget 4g'],
    [['--trace=yes', '--', 'ls'], '--trace takes no value: write --trace alone'],
    [
      ['--cpu', '--', 'ls'],
      '--cpu is not an option: before the command there may be --budget SIZE, --sim SIZE, --reserve SIZE and --trace',
    ],
  ])('%j is refused in one sentence', (argv, message) => {
    expect(thrown(() => parseShimArguments(argv))).toMatchObject({ message, exitCode: 2 })
  })
})

describe('sizes', () => {
  it('are of the simulated machine where there is one', () => {
    expect(computeHeldSizes({ budget: '50%', sim: '16g', reserve: '4g' }, 24 * GIB)).toEqual({
      ...{ budgetBytes: 6 * GIB, budgetGiven: true, reserveBytes: 4 * GIB, simBytes: 16 * GIB },
    })
  })

  it('without a budget are all there is', () => {
    expect(computeHeldSizes({}, 24 * GIB)).toEqual({
      ...{ budgetBytes: 24 * GIB, budgetGiven: false, reserveBytes: 0, simBytes: undefined },
    })
    expect(computeHeldSizes({ sim: '4g' }, 24 * GIB).budgetBytes).toBe(4 * GIB)
  })

  it('let a larger machine be simulated as long as the budget fits in this one', () => {
    expect(computeHeldSizes({ budget: '4g', sim: '128g' }, 24 * GIB).simBytes).toBe(128 * GIB)
  })

  it.each([
    [{ budget: '4x' }, '--budget 4x is not a size: write 40g, 512m, plain bytes or 30%'],
    [
      { budget: '4g', sim: '50%' },
      '--sim 50% is a percentage, which is not allowed here: write 40g, 512m or plain bytes',
    ],
    [
      { budget: '20g', sim: '16g' },
      '--budget 20.0 GiB is more than the simulated machine has, 16.0 GiB: give at most that, or a larger --sim',
    ],
    [
      { sim: '128g' },
      '--sim 128.0 GiB is more than this machine has, 24.0 GiB, and the simulator takes real memory: give less, or a --budget that fits',
    ],
    [
      { budget: '100g', sim: '128g' },
      '--budget 100.0 GiB is more than this machine has, 24.0 GiB, and the simulator takes real memory: give less',
    ],
    [{ budget: '1g', reserve: '24g' }, '--reserve 24.0 GiB leaves nothing of a machine of 24.0 GiB: give less'],
  ])('%j is refused in one sentence', (options, message) => {
    expect(thrown(() => computeHeldSizes(options, 24 * GIB))).toMatchObject({ message, exitCode: 2 })
  })
})
