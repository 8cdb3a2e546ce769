// The guard's loop as a discrete-event simulation: fills that no machine here can make, on machines that nobody here has.
//   node test/bench/guard-simulation.js [--json] [--svg FILE] [--measured FILE]
// The rules and constants are those of native/guard/decide.c (test/unit/bench/guard-simulation.test.ts compares them). Latencies come from
// a whole run of bench:guard (--measured its JSON) or are the ones that were measured last. Pure but for its last lines.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { drawPlot } from './guard-plot.js'

export const GIB = 1024 ** 3
const MS = 1e-3

/** As in native/guard/decide.c, in seconds and bytes. */
export const LOOP = {
  fastestFill: 50 * GIB,
  sleepMin: 1 * MS,
  sleepMax: 100 * MS,
  zeroWithin: 150 * MS,
  lead: 15 * MS,
  leadShareOfReserve: 8,
  fallsInARow: 3,
}

/**
 * Seconds. `overshoot` and `kill` are quantiles at equal distances (the first is the least, the last the most that was seen):
 * how much longer than asked a sleep takes, and from a verdict to the end of the victim's last step.
 * `nothingBack`, `allBack`: a dead CUDA context's memory, measured on a real driver.
 */
export const MEASURED = {
  overshoot: [0.02, 0.06, 0.1, 0.12, 0.15, 0.2, 0.3, 0.5, 1, 3.2].map((ms) => ms * MS),
  // Taken on 2026-11-24 from 40 runs of within-budget while other work loaded the machine (p50 3.7 ms, p99 17.5 ms), and kept: the reserve has
  // to hold on a busy machine. On a quiet one they are 0.9 to 1.9 ms and 3 to 5 ms (docs/benchmarks.md).
  kill: [0.34, 2.19, 2.19, 2.19, 2.19, 9.11, 16.04, 16.04].map((ms) => ms * MS),
  nothingBack: 1.085,
  allBack: 1.94,
}

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32), so that two settings meet the same luck. */
export function randomFrom(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A value of a distribution that is given by its quantiles, `share` of the way up. */
export function quantileAt(quantiles, share) {
  const at = share * (quantiles.length - 1)
  const low = Math.floor(at)
  const next = quantiles[Math.min(low + 1, quantiles.length - 1)]
  return quantiles[low] + (next - quantiles[low]) * (at - low)
}

/** decide_sleep_ns, with a least sleep of one's own. */
const sleepFor = (above, sleepMin) =>
  Math.min(Math.max(above / LOOP.fastestFill / 2, sleepMin), Math.max(sleepMin, LOOP.sleepMax))

/** decide, for a fall without pauses. `readings`: newest last. */
function calls(readings, reserve, forecast) {
  const newest = readings.at(-1)
  const before = readings.at(-2)
  if (before === undefined) return false
  if (newest.available < reserve) return before.available < reserve
  if (!forecast || readings.length <= LOOP.fallsInARow) return false
  const last = readings.slice(-1 - LOOP.fallsInARow)
  if (last.some((reading, at) => at > 0 && reading.available >= last[at - 1].available)) return false
  const pace = (last[0].available - newest.available) / (newest.at - last[0].at)
  if (newest.available <= pace * LOOP.zeroWithin) return true
  return newest.available - reserve < Math.min(pace * LOOP.lead, reserve / LOOP.leadShareOfReserve)
}

/**
 * One fill, from calm to memory that is back. All sizes in bytes, rates in bytes a second, times in seconds.
 *
 * @param fill how fast the guilty one takes memory
 * @param request the most that it asks the driver for at once: that much is taken to its end, killed or not
 * @param hostGrowth what everybody else takes meanwhile
 * @param forecast true for a container over its budget; else only a broken reserve counts
 * @returns {lowest, stopped, reaction}: lowest MemAvailable (below 0: it did not hold), seconds from the crossing to the fill's end
 */
export function simulateFill({
  fill,
  reserve,
  request,
  hostGrowth,
  sleepMin = LOOP.sleepMin,
  forecast,
  measured = MEASURED,
  seed,
}) {
  const random = randomFrom(seed)
  const phase = random()
  const requestPhase = random()
  const killTook = quantileAt(measured.kill, random())
  // Far enough above the reserve that the loop is still slow there.
  const start = reserve + fill * 0.25 + LOOP.fastestFill * 0.02
  const crossing = (start - reserve) / fill
  const readings = []
  let at = -phase * sleepFor(start - reserve, sleepMin)
  for (;;) {
    const available = start - fill * Math.max(0, at)
    readings.push({ at, available })
    if (calls(readings, reserve, forecast)) break
    at += sleepFor(Math.max(0, available - reserve), sleepMin) + quantileAt(measured.overshoot, random())
  }
  // The signal acts when the request that is inside the kernel is over.
  const signalled = at + killTook
  const inRequest =
    request > 0 ? (request - ((fill * Math.max(0, signalled) + requestPhase * request) % request)) / fill : 0
  const stopped = signalled + inRequest
  const taken = fill * stopped
  // Memory comes back faster than the host takes it, so the lowest point is where it begins to.
  const lowest = start - taken - hostGrowth * measured.nothingBack
  return { lowest, stopped, reaction: stopped - crossing }
}

/** Many fills with the same settings: how often memory ended, and how far under the reserve it went. */
export function simulate(settings, rounds = 1000) {
  const depths = []
  const reactions = []
  let ended = 0
  for (let seed = 1; seed <= rounds; seed++) {
    const { lowest, reaction } = simulateFill({ ...settings, seed })
    if (lowest <= (settings.floor ?? 0)) ended++
    depths.push(Math.max(0, settings.reserve - lowest))
    reactions.push(reaction)
  }
  const sorted = (values) => values.sort((a, b) => a - b)
  const at = (values, share) => values[Math.min(values.length - 1, Math.ceil(share * values.length) - 1)]
  sorted(depths)
  sorted(reactions)
  return {
    chanceOfEnd: ended / rounds,
    depth: { p50: at(depths, 0.5), p99: at(depths, 0.99), max: at(depths, 1) },
    reaction: { p50: at(reactions, 0.5), p99: at(reactions, 0.99), max: at(reactions, 1) },
  }
}

/**
 * What the reserve must be, from what it has to carry (docs/how-it-works.md, "The reserve"): the fill during the guard's reaction,
 * one request, the host's own growth until memory comes back, and what a host needs to live.
 */
export function neededReserve({ fill, reaction, request, hostGrowth, floor, measured = MEASURED }) {
  return fill * reaction + request + hostGrowth * measured.nothingBack + floor
}

/** What the terms are put at, for a machine of this size: assumptions, each named in docs/how-it-works.md. */
export function assumptionsFor(memTotal, fill = LOOP.fastestFill) {
  return {
    fill,
    request: Math.min(memTotal * 0.02, 2.5 * GIB),
    hostGrowth: 1 * GIB,
    floor: Math.min(memTotal * 0.04, 5 * GIB),
  }
}

/** The default: 2.25 GiB and 6 % of MemTotal, at most 10 GiB, at most a quarter (src/plan/compile.ts). */
export const defaultReserve = (memTotal) => Math.min(2.25 * GIB + memTotal * 0.06, 10 * GIB, memTotal / 4)

/** Kill latencies out of a whole run of bench:guard: where no forecast is allowed, less the two readings that come before the verdict. */
export function measuredFrom(result) {
  const rows = result.rows.filter((one) => one.tool === 'spark-guard' && one.scenario === 'within-budget' && one.killMs)
  const row = rows.sort((one, other) => other.killMs.max - one.killMs.max)[0]
  if (row === undefined) throw new Error('it has no row of spark-guard for within-budget')
  const readings = 1.5 // two readings of at least 1 ms; the first comes half of one after the crossing
  const { p50, p99, max } = row.killMs
  const kill = [p50 / 2, p50, p50, p50, p50, (p50 + p99) / 2, p99, max].map((ms) => Math.max(0.1, ms - readings) * MS)
  return { ...MEASURED, kill }
}

export function simulateAll(measured = MEASURED) {
  const machines = [24, 64, 128, 256, 512].flatMap((gib) =>
    [14, 50].map((rate) => {
      const memTotal = gib * GIB
      const assumed = assumptionsFor(memTotal, rate * GIB)
      const reserve = defaultReserve(memTotal)
      const seen = simulate({ ...assumed, reserve, forecast: false, measured })
      const needed = neededReserve({
        ...assumed,
        reaction: simulate({ ...assumed, request: 0, reserve, forecast: false, measured }).reaction.max,
        measured,
      })
      return {
        memTotalGib: gib,
        fillGibPerSecond: rate,
        reserveGib: reserve / GIB,
        neededGib: needed / GIB,
        ...inGib(seen),
      }
    }),
  )
  const rates = [14, 50].flatMap((rate) =>
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].map((periodMs) => ({
      fillGibPerSecond: rate,
      periodMs,
      ...inGib(
        simulate({
          fill: rate * GIB,
          reserve: 10 * GIB,
          request: 0,
          hostGrowth: 0,
          sleepMin: periodMs * MS,
          forecast: false,
          measured,
        }),
      ),
    })),
  )
  const reserves = [1, 100].flatMap((periodMs) =>
    Array.from({ length: 29 }, (_, at) => 0.5 + at * 0.5).map((gib) => {
      const assumed = assumptionsFor(128 * GIB)
      const { chanceOfEnd } = simulate({
        ...assumed,
        reserve: gib * GIB,
        sleepMin: periodMs * MS,
        forecast: false,
        measured,
      })
      return { periodMs, reserveGib: gib, chanceOfEnd }
    }),
  )
  return { machines, rates, reserves }
}

const inGib = ({ chanceOfEnd, depth, reaction }) => ({
  chanceOfEnd,
  depthGib: { p50: depth.p50 / GIB, p99: depth.p99 / GIB, max: depth.max / GIB },
  reactionMs: { p50: reaction.p50 / MS, p99: reaction.p99 / MS, max: reaction.max / MS },
})

function main() {
  const { values } = parseArgs({
    options: { json: { type: 'boolean', default: false }, svg: { type: 'string' }, measured: { type: 'string' } },
  })
  const measured =
    values.measured === undefined ? MEASURED : measuredFrom(JSON.parse(readFileSync(values.measured, 'utf8')))
  const result = simulateAll(measured)
  if (values.svg !== undefined) writeFileSync(values.svg, drawPlot(result))
  if (values.json) console.log(JSON.stringify(result))
  else {
    console.log(
      '| MemTotal GiB | fill GiB/s | reserve GiB | needed GiB | falls below the floor | depth GiB p50 / p99 / max | reaction ms p99 |',
    )
    console.log('| --- | --- | --- | --- | --- | --- | --- |')
    for (const row of result.machines)
      console.log(
        `| ${row.memTotalGib} | ${row.fillGibPerSecond} | ${row.reserveGib.toFixed(1)} | ${row.neededGib.toFixed(1)} | ${(row.chanceOfEnd * 100).toFixed(1)} % | ${row.depthGib.p50.toFixed(2)} / ${row.depthGib.p99.toFixed(2)} / ${row.depthGib.max.toFixed(2)} | ${row.reactionMs.p99.toFixed(1)} |`,
      )
    console.log('\n| reading every ms | depth GiB p99 at 14 GiB/s | at 50 GiB/s |\n| --- | --- | --- |')
    for (const row of result.rates.filter((one) => one.fillGibPerSecond === 14)) {
      const fast = result.rates.find((one) => one.fillGibPerSecond === 50 && one.periodMs === row.periodMs)
      console.log(`| ${row.periodMs} | ${row.depthGib.p99.toFixed(2)} | ${fast.depthGib.p99.toFixed(2)} |`)
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main()
