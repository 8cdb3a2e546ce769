import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { defaultReserveBytes } from '../../../src/plan/compile.js'

const bench = path.resolve(import.meta.dirname, '../../bench')
const { computeRow, judgeScenario, quantile } = await import(path.join(bench, 'guard-figures.js'))
const { earlyoomArguments, guardArguments, nohangConfig } = await import(path.join(bench, 'guard-tools.js'))

const MIB = 1024 ** 2
const GIB = 1024 ** 3
const ROW_KEYS = [
  'scenario',
  'tool',
  'settings',
  'runs',
  'killMs',
  'endMs',
  'depthBytes',
  'wrongVictims',
  'restCpuPercent',
  'rssBytes',
]

const run = (killMs: number | null, depthBytes: number, more = {}) => ({
  killMs,
  endMs: killMs === null ? null : killMs + 1,
  depthBytes,
  wrongVictims: 0,
  beforeCrossing: false,
  floor: false,
  ...more,
})
const rest = { cpuPercent: 0.5, rssBytes: 1000 }
const key = (tool: string) => ({ scenario: 'hugetlb', tool, settings: 'best' })

describe('rows of bench:guard', () => {
  it('have the promised form', () => {
    const row = computeRow(key('earlyoom'), [run(3, 10), run(1, 30), run(2, 20, { wrongVictims: 2 })], rest)
    expect(Object.keys(row)).toEqual(expect.arrayContaining(ROW_KEYS))
    expect(row).toMatchObject({
      runs: 3,
      killMs: { p50: 2, p99: 3, max: 3 },
      endMs: { p50: 3, p99: 4, max: 4 },
      depthBytes: { p50: 20, max: 30 },
      wrongVictims: 2,
      restCpuPercent: 0.5,
      rssBytes: 1000,
      missed: 0,
    })
  })

  it('do not turn a guilty one that lived into a quick kill', () => {
    const row = computeRow(key('earlyoom'), [run(null, 5 * GIB), run(7, 10)], rest)
    expect(row).toMatchObject({ missed: 1, killMs: { p50: 7, max: 7 }, depthBytes: { max: 5 * GIB } })
    expect(computeRow(key('earlyoom'), [run(null, 1)], rest).killMs).toEqual({ p50: null, p99: null, max: null })
  })

  it('count what was killed before the line as it is', () => {
    const row = computeRow(
      key('spark-guard'),
      [run(0, 0, { beforeCrossing: true }), run(-2, 0, { beforeCrossing: true })],
      rest,
    )
    expect(row).toMatchObject({ beforeCrossing: 2, killMs: { p50: -2, max: 0 } })
  })

  it('take quantiles by nearest rank', () => {
    const values = Array.from({ length: 200 }, (_, at) => 200 - at)
    expect([quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1)]).toEqual([100, 198, 200])
  })

  it('are judged against the best other that held the line', () => {
    const ours = computeRow(key('spark-guard'), [run(4, 10)], rest)
    const shallow = computeRow(key('earlyoom'), [run(4, 50, { wrongVictims: 1 })], rest)
    const deep = computeRow(key('nohang'), [run(90, 100)], rest)
    expect(judgeScenario([ours, shallow, deep], 'hugetlb', 'best')).toMatchObject({
      p99Kept: true,
      depthKept: true,
      noWrongVictims: true,
      bestOtherDepthBytes: 100,
    })
    const late = computeRow(key('spark-guard'), [run(6, 11, { wrongVictims: 1 })], rest)
    expect(judgeScenario([late, deep], 'hugetlb', 'best')).toMatchObject({
      p99Kept: false,
      depthKept: false,
      noWrongVictims: false,
    })
    const missed = computeRow(key('spark-guard'), [run(1, 0), run(null, 0)], rest)
    expect(judgeScenario([missed, deep], 'hugetlb', 'best')).toMatchObject({ p99Kept: false })
  })

  it('come as one JSON object on stdout, those that cannot run with their reason', () => {
    const result = spawnSync(
      process.execPath,
      [path.join(bench, 'guard.js'), '--json', '--quick', '--tool', 'systemd-oomd'],
      {
        encoding: 'utf8',
      },
    )
    expect(result.status, result.stderr).toBe(0)
    const { rows, schemaVersion } = JSON.parse(result.stdout)
    expect(schemaVersion).toBe(1)
    expect(rows.length).toBe(16)
    for (const row of rows)
      expect(row).toMatchObject({
        tool: 'systemd-oomd',
        scenario: expect.any(String),
        skipped: expect.stringContaining('MemAvailable'),
      })
  })
})

describe('the line', () => {
  const memTotalBytes = 23 * GIB
  const marginBytes = 2 * GIB

  it.each(['default', 'best'])('is the same for the guard, withheld and reserved together (%s)', (settings) => {
    const lineBytes = 11 * GIB
    const args: string[] = guardArguments({
      ...{ lineBytes, memTotalBytes, marginBytes, settings, defaultReserveBytes },
      ...{ runDir: '/r', logDir: '/l' },
    })
    const value = (name: string) => Number(args[args.indexOf(name) + 1])
    expect(value('--reserve-bytes') + value('--withhold-bytes')).toBe(lineBytes)
    if (settings === 'default')
      expect(value('--reserve-bytes')).toBe(defaultReserveBytes(memTotalBytes - value('--withhold-bytes')))
  })

  it('is what earlyoom and nohang are told', () => {
    const lineBytes = 11 * GIB
    expect(earlyoomArguments({ lineBytes, settings: 'default' })).toContain(`${11 * MIB},${5.5 * MIB}`)
    expect(earlyoomArguments({ lineBytes, settings: 'best' })).toContain(`${11 * MIB},${11 * MIB}`)
    const debian =
      '# soft_threshold_min_mem = 1 %\nsoft_threshold_min_mem = 5 %\nhard_threshold_min_mem = 2 %\nmax_sleep = 3\n'
    expect(nohangConfig(debian, { lineBytes, settings: 'default' })).toBe(
      '# soft_threshold_min_mem = 1 %\nsoft_threshold_min_mem = 11264 M\nhard_threshold_min_mem = 4506 M\nmax_sleep = 3\n',
    )
    expect(nohangConfig(debian, { lineBytes, settings: 'best' })).toContain(
      'hard_threshold_min_mem = 11264 M\nmax_sleep = 0.01\n',
    )
  })
})
