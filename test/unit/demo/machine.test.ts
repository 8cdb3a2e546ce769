import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseDemoArguments } from '../../../src/demo/arguments.js'
import { computeOvercommit, raiseOvercommit, restoreSetting } from '../../../src/demo/huge-pages.js'
import { computeSmallMachine } from '../../../src/demo/machine.js'

const GIB = 1024 ** 3
const MIB = 1024 ** 2

describe('the small machine', () => {
  it('is 4 GiB on a large machine, the rest withheld', () => {
    expect(computeSmallMachine(100 * GIB)).toEqual({
      sizeBytes: 4 * GIB,
      withholdBytes: 96 * GIB,
      reserveBytes: 1 * GIB,
      budgetBytes: 1536 * MIB,
    })
  })

  it('is a quarter of what is available on a smaller one', () => {
    expect(computeSmallMachine(8 * GIB).sizeBytes).toBe(2 * GIB)
  })

  it('is never made where it would hurt', () => {
    expect(() => computeSmallMachine(3 * GIB)).toThrow(
      'the demo puts at most a quarter of the free memory at stake and needs 1.0 GiB, but only 3.0 GiB are available here',
    )
  })

  it('takes a wish within its bounds only', () => {
    expect(computeSmallMachine(16 * GIB, 2 * GIB).sizeBytes).toBe(2 * GIB)
    expect(() => computeSmallMachine(8 * GIB, 3 * GIB)).toThrow(
      '--machine 3.0 GiB is out of bounds: here it is from 1.0 GiB to 2.0 GiB, a quarter of what is available and at most 4.0 GiB',
    )
    expect(() => computeSmallMachine(8 * GIB, 100 * MIB)).toThrow('--machine 100.0 MiB is out of bounds')
  })
})

describe('arguments of the demo', () => {
  it('are few', () => {
    expect(parseDemoArguments([])).toEqual({ help: false, json: false, engine: undefined, machineBytes: undefined })
    expect(parseDemoArguments(['--json', '--machine', '2g', '--engine=none'])).toEqual({
      help: false,
      json: true,
      engine: 'none',
      machineBytes: 2 * GIB,
    })
  })

  it.each([
    [['--engine', 'rkt'], '--engine "rkt" is not known: it is docker or none'],
    [['--machine', '40x'], '--machine 40x is not a size'],
    [['--fast'], "Unknown option '--fast'"],
    [['fast'], "Unexpected argument 'fast'"],
  ])('%j is refused with a sentence', (argv, sentence) => {
    expect(() => parseDemoArguments(argv)).toThrow(sentence)
  })
})

describe('huge pages', () => {
  let dir: string
  beforeEach(() => {
    dir = mkdtempSync(path.join(os.tmpdir(), 'huge-pages-'))
  })
  afterEach(() => rmSync(dir, { recursive: true }))

  it('are counted on top of what is in use on demand', () => {
    const pages = { total: 10, free: 0, surplus: 10, pageBytes: 2 * MIB }
    expect(computeOvercommit(pages, 100 * MIB)).toBe(60)
    expect(computeOvercommit({ ...pages, pageBytes: 0 }, 100 * MIB)).toBe(0)
  })

  it('are raised only where too low, and put back unless somebody else changed them', () => {
    const file = path.join(dir, 'nr')
    writeFileSync(file, '5000')
    expect(raiseOvercommit(2048, file)).toBeUndefined()
    writeFileSync(file, '0\n')
    const setting = raiseOvercommit(2048, file)
    expect(readFileSync(file, 'utf8')).toBe('2048')
    if (setting === undefined) throw new Error('it was not raised')
    restoreSetting(setting)
    expect(readFileSync(file, 'utf8')).toBe('0')
    const again = raiseOvercommit(2048, file)
    writeFileSync(file, '4096')
    if (again !== undefined) restoreSetting(again)
    expect(readFileSync(file, 'utf8')).toBe('4096')
  })
})
