import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { defaultReserveBytes } from '../../../src/plan/compile.js'

const root = path.resolve(import.meta.dirname, '../../..')
const bench = path.join(root, 'test/bench')
const { assumptionsFor, defaultReserve, LOOP, measuredFrom, neededReserve, simulate, simulateAll, simulateFill } =
  await import(path.join(bench, 'guard-simulation.js'))
const { drawPlot } = await import(path.join(bench, 'guard-plot.js'))

const GIB = 1024 ** 3
const ROUNDS = 200
const base = { fill: 50 * GIB, reserve: 4 * GIB, request: 2 * GIB, hostGrowth: GIB, forecast: false }
const inOrder = (values: number[]) => values.every((value, at) => at === 0 || value <= (values[at - 1] as number))

describe('the simulated guard', () => {
  it('works by the constants of the real one', () => {
    const source = readFileSync(path.join(root, 'native/guard/decide.c'), 'utf8')
    const constant = (name: string) => {
      const text = new RegExp(`\\b${name} =? ?\\(?(.*?)\\)?( \\}.*)?$`, 'm').exec(source)?.[1] ?? 'missing'
      const [value, unit] = [/\d+/.exec(text.replace('UINT64_C', ''))?.[0], /NS_PER_MS|<< 30/.exec(text)?.[0]]
      return Number(value) * (unit === 'NS_PER_MS' ? 1e-3 : unit === '<< 30' ? GIB : 1)
    }
    expect({
      fastestFill: constant('FASTEST_FILL_BYTES_PER_SECOND'),
      sleepMin: constant('SLEEP_MIN_NS'),
      sleepMax: constant('SLEEP_MAX_NS'),
      zeroWithin: constant('ZERO_WITHIN_NS'),
      lead: constant('LEAD_NS'),
      leadShareOfReserve: constant('LEAD_SHARE_OF_RESERVE'),
      fallsInARow: constant('FALLS_IN_A_ROW'),
    }).toEqual(LOOP)
  })

  it('comes to the end of memory less often with a larger reserve', () => {
    const chances = Array.from(
      { length: 12 },
      (_, at) => simulate({ ...base, reserve: (0.5 + at * 0.5) * GIB }, ROUNDS).chanceOfEnd,
    )
    expect(inOrder(chances)).toBe(true)
    expect([chances[0], chances.at(-1)]).toEqual([1, 0])
    // Somewhere between it is a matter of luck: else this would not be a test of chances.
    expect(chances.some((chance) => chance > 0 && chance < 1)).toBe(true)
  })

  it('falls deeper the more seldom it looks, the faster the fill and the larger the request', () => {
    const depth = (more: object) => simulate({ ...base, ...more }, ROUNDS).depth.p99
    expect(inOrder([0.1, 0.02, 0.005, 0.001].map((sleepMin) => depth({ sleepMin })))).toBe(true)
    expect(depth({ sleepMin: 0.1 })).toBeGreaterThan(5 * depth({ sleepMin: 0.001, request: 0, hostGrowth: 0 }))
    expect(inOrder([100, 50, 14, 5].map((rate) => depth({ fill: rate * GIB })))).toBe(true)
    expect(inOrder([8, 4, 2, 1, 0].map((gib) => depth({ request: gib * GIB })))).toBe(true)
  })

  it('is never later where a forecast is allowed', () => {
    for (let seed = 1; seed <= ROUNDS; seed++) {
      const one = { ...base, request: 0, seed }
      expect(simulateFill({ ...one, forecast: true }).stopped).toBeLessThanOrEqual(
        simulateFill({ ...one, forecast: false }).stopped,
      )
    }
    expect(simulate({ ...base, request: 0, hostGrowth: 0, forecast: true }, ROUNDS).depth.p50).toBe(0)
  })

  it('never needs more than the formula says', () => {
    for (const gib of [64, 128, 512]) {
      const assumed = assumptionsFor(gib * GIB)
      const reaction = simulate({ ...assumed, request: 0, reserve: 10 * GIB, forecast: false }, ROUNDS).reaction.max
      const reserve = neededReserve({ ...assumed, reaction })
      expect(simulate({ ...assumed, reserve, forecast: false }, ROUNDS).chanceOfEnd).toBe(0)
      expect(
        simulate({ ...assumed, reserve: reserve - assumed.request, forecast: false }, ROUNDS).chanceOfEnd,
      ).toBeGreaterThan(0.25)
    }
  })

  it('takes the default reserve as the policy has it', () => {
    for (const gib of [2, 8, 24, 64, 128, 512])
      expect(Math.floor(defaultReserve(gib * GIB))).toBe(defaultReserveBytes(gib * GIB))
  })

  it('takes its kill latencies from a run of the benchmark', () => {
    const row = { tool: 'spark-guard', scenario: 'within-budget', killMs: { p50: 2.5, p99: 5, max: 9 } }
    const { kill } = measuredFrom({ rows: [{ ...row, scenario: 'hugetlb' }, row] })
    expect(kill.at(-1)).toBeCloseTo(0.0075, 5)
    expect(inOrder([...kill].reverse())).toBe(true)
    expect(() => measuredFrom({ rows: [] })).toThrow('within-budget')
  })

  it('is what the committed plot shows', () => {
    expect(readFileSync(path.join(root, 'docs/guard-reserve.svg'), 'utf8')).toBe(drawPlot(simulateAll()))
  })
})
