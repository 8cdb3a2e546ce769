import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseDemoArguments } from '../../../src/demo/arguments.js'
import { computeGuardBudgets, computeSmallMachine } from '../../../src/demo/machine.js'
import {
  type ChangedSetting,
  computeOvercommit,
  raiseOvercommit,
  restoreSetting,
} from '../../../src/host/huge-pages.js'

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

  it.each([1024, 1300, 1364, 2048, 4096])('has room for both budgets of the scene guard at %i MiB', (sizeMib) => {
    const machine = computeSmallMachine(32 * GIB, sizeMib * MIB)
    const { bystanderBytes, culpritBytes } = computeGuardBudgets(machine)
    expect(Math.min(bystanderBytes, culpritBytes)).toBeGreaterThanOrEqual(256 * MIB)
    expect(bystanderBytes + culpritBytes).toBeLessThanOrEqual(machine.sizeBytes - machine.reserveBytes)
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

  const at = (before: string) => {
    const places = { file: path.join(dir, 'nr'), noteFile: path.join(dir, 'note.json') }
    writeFileSync(places.file, before)
    return { places, read: () => readFileSync(places.file, 'utf8'), left: () => readdirSync(dir) }
  }
  const raised = (pages: number, places: ReturnType<typeof at>['places']): ChangedSetting => {
    const setting = raiseOvercommit(pages, places)
    if (setting === undefined) throw new Error('it was not raised')
    return setting
  }

  it('are raised only where too low, and put back', () => {
    const { places, read, left } = at('5000\n')
    const setting = raised(2048, places)
    expect(read()).toBe('5000\n')
    restoreSetting(setting)
    writeFileSync(places.file, '0\n')
    const again = raised(2048, places)
    expect(read()).toBe('2048')
    restoreSetting(again)
    restoreSetting(again)
    expect(read()).toBe('0')
    expect(left()).toEqual(['nr'])
  })

  it('are left alone where somebody else changed them since', () => {
    const { places, read } = at('0')
    const setting = raised(2048, places)
    writeFileSync(places.file, '4096')
    restoreSetting(setting)
    expect(read()).toBe('4096')
  })

  it.each(['first', 'second'])(
    'are enough for two at a time, and put back by the last, when the %s ends first',
    (which) => {
      const { places, read, left } = at('0')
      const settings = [raised(1000, places), raised(500, places)]
      expect(read()).toBe('1500')
      if (which === 'second') settings.reverse()
      restoreSetting(settings[0] as ChangedSetting)
      expect(read()).toBe(which === 'first' ? '500' : '1000')
      restoreSetting(settings[1] as ChangedSetting)
      expect(read()).toBe('0')
      expect(left()).toEqual(['nr'])
    },
  )

  it('are put back for one that died without a word', () => {
    const { places, read } = at('0')
    raised(1000, places)
    const note = readFileSync(places.noteFile, 'utf8')
    writeFileSync(places.noteFile, note.replace(/"startTicks":\d+/, '"startTicks":1'))
    restoreSetting(raised(500, places))
    expect(read()).toBe('0')
  })
})
