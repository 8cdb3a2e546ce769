// spark-guard beside the tools that people use today, on the same fills: how late each is, how deep memory falls meanwhile, whom it kills.
//   npm run --silent bench:guard                      a table
//   npm run --silent bench:guard -- --json [--quick]  one JSON object on stdout; --quick: under 50 s, few runs
//   … [--runs N] [--other-runs N] [--scenario NAME] [--tool NAME] [--settings best|default]
// All of it with its 200 runs a row takes hours; one scenario at a time does as well.
// Needs root, nsenter and unshare, and about 14 GiB of MemAvailable. Never drives the machine to exhaustion: the line lies at almost half of
// its memory, and everything ends by pid should less than the floor be left.
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { computeRow, formatRows, judgeScenario } from './guard-figures.js'
import { honestBudget, scenarios } from './guard-scenarios.js'
import { GIB, isAlive, MIB, meminfoBytes, openBallast, openStage, shortenPageLists } from './guard-stage.js'
import { ENGINE, listTools } from './guard-tools.js'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')
const native = path.join(root, 'native/build', process.arch === 'arm64' ? 'aarch64' : 'x86_64')
const load = path.join(native, 'test/bench/guard-load')
const observer = path.join(native, 'test/bench/guard-observe')
const fromDist = (file) => import(path.join(root, 'dist', file))

/** nohang takes no threshold of half of the memory or more. */
const LINE_SHARE = 0.48
const FLOOR_BYTES = 3 * GIB
/** Readings of the observer: often enough for a tenth of a millisecond, and a tenth of a core. */
const PERIOD_US = 100
const SERVICE_BYTES = 300 * MIB

const { values: wish } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    runs: { type: 'string' },
    'other-runs': { type: 'string' },
    scenario: { type: 'string', multiple: true },
    tool: { type: 'string', multiple: true },
    settings: { type: 'string', multiple: true },
  },
})
const say = (text) => console.error(`bench:guard: ${text}`)
/** Names that are none end it with a sentence; `ended` is called before. */
function refuseUnknown(what, given, known, ended = () => {}) {
  const unknown = (given ?? []).filter((name) => !known.includes(name))
  if (unknown.length === 0) return
  say(`unknown ${what} ${unknown.join(', ')}; there are ${known.join(', ')}`)
  ended()
  process.exit(2)
}
const namesOf = (list) => list.map(({ name }) => name)
const SETTINGS = ['best', 'default']
const isChosen = (given, name) => given === undefined || given.includes(name)
refuseUnknown('scenario', wish.scenario, namesOf(scenarios))
refuseUnknown('settings', wish.settings, SETTINGS)

/** A run begins this far above the line. Quick runs begin under the guard's soft line, where it does more at rest than elsewhere. */
const MARGIN_BYTES = wish.quick ? GIB / 2 : 2 * GIB
/** A load nobody kills stops by itself this far under the line. */
const DEPTH_CAP_BYTES = wish.quick ? GIB : 5 * GIB
/** Without a crossing or a death a run ends after this. */
const RUN_MS = wish.quick ? 4_000 : 30_000
const PATIENCE_MS = wish.quick ? 1_500 : 5_000
/** A row ends after so many runs when nine in ten of them were missed: there is no time to be measured. */
const HOPELESS_RUNS = 10
/** What does not fit into this is left out by name. */
const QUICK_MS = 42_000
/** For a tool without a share of that. */
const SAY_WHY_MS = 1_000
const began = Date.now()
const QUICK_SLACK_BYTES = GIB
/** The same in all quick scenarios, so that nobody has to make room for it in between. */
const QUICK_HONEST_BYTES = 320 * MIB
const NO_TIME = 'no time was left for it in a quick run'
/** In a quick run each tool with each of its settings has its share of the time: a look at one tool alone compares nothing. */
let shareEndsMs = QUICK_MS
const timeIsOver = () => stopping || (wish.quick && Date.now() - began > shareEndsMs)

const whyOver = () => (stopping ? 'it was stopped before' : NO_TIME)

let stopping = false
let stagePid
/** On a signal: everything on the stage ends, which ends the run that is under way; the rest is put back on the usual way out. */
function stop() {
  stopping = true
  process.exitCode = 1
  if (stagePid !== undefined && isAlive(stagePid)) process.kill(stagePid, 'SIGKILL')
}
const memTotalBytes = meminfoBytes('MemTotal')
let lineBytes = Math.floor((memTotalBytes * LINE_SHARE) / MIB) * MIB

/**
 * Quick runs take little memory aside, because half of it can take half a minute where the host has to find it first: their line is near.
 * That little is given back when others take memory meanwhile.
 */
async function drawQuickLine(ballast) {
  await ballast.settle(meminfoBytes('MemAvailable') - QUICK_SLACK_BYTES)
  lineBytes = Math.floor((meminfoBytes('MemAvailable') - MARGIN_BYTES) / MIB) * MIB
}

function runsOf(tool, scenario) {
  const isOurs = tool === 'spark-guard'
  const quickRuns = isOurs && !scenario.slow ? 2 : 1
  return Number((isOurs ? wish.runs : wish['other-runs']) ?? (wish.quick ? quickRuns : 200))
}

// --- a tool on its stage ------------------------------------------------------------------------------------------------

const childrenOf = (pid) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/).filter(Boolean).map(Number)
const cpuNs = (pid) =>
  readdirSync(`/proc/${pid}/task`)
    .map((task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]))
    .reduce((sum, ns) => sum + ns, 0)
const rssBytes = (pid) => Number(/^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024

async function startTool(tool, settings, stage, dir) {
  const argv = tool.argv({
    settings,
    lineBytes,
    memTotalBytes,
    marginBytes: MARGIN_BYTES,
    runDir: stage.runDir,
    logDir: path.join(dir, 'log'),
  })
  let said = ''
  const child = stage.tool(argv, ['ignore', 'pipe', 'pipe', 'pipe'])
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (said = (said + data).slice(-4000)))
  const ended = new Promise((resolve) => child.once('exit', resolve))
  if (tool.name === 'spark-guard')
    await Promise.race([new Promise((resolve) => child.stdio[3].once('data', resolve)), ended])
  else await sleep(1000)
  const pid = child.exitCode === null ? childrenOf(child.pid)[0] : undefined
  if (pid === undefined) throw new Error(`${tool.name} (${settings}) does not run: ${said.trim()}`)
  return { pid, said: () => said }
}

/** Processor time and memory with nothing going on, as far above the line as a run begins. */
async function measureRest(pid) {
  const family = [pid, ...childrenOf(pid)]
  const sum = () => family.reduce((total, one) => total + cpuNs(one), 0)
  const before = sum()
  const began = process.hrtime.bigint()
  await sleep(wish.quick ? 1000 : 10_000)
  return {
    cpuPercent: ((sum() - before) / Number(process.hrtime.bigint() - began)) * 100,
    rssBytes: rssBytes(pid),
  }
}

// --- one run ------------------------------------------------------------------------------------------------------------

/** Starts who must live where they do not: a service of the host, and an honest container. Returns them by name. */
async function fillSeats(stage, scenario, seats) {
  if (seats.service === undefined || !isAlive(seats.service.hostPid))
    seats.service = await stage.outside('service', '-', String(SERVICE_BYTES), 'hold')
  if (seats.honest === undefined || !isAlive(seats.honest.hostPid) || seats.honestBytes !== scenario.honestBytes) {
    await stage.clear('honest')
    seats.honest = await stage.container('honest', [ENGINE, '-', String(scenario.honestBytes), 'hold'])
    seats.honestBytes = scenario.honestBytes
    stage.register('honest', seats.honest, honestBudget(scenario))
  }
}

const isHopeless = (runs) =>
  runs.length >= HOPELESS_RUNS && runs.filter(({ killMs }) => killMs === null).length >= runs.length * 0.9

const dead = (seats) => ['service', 'honest'].filter((name) => !isAlive(seats[name].hostPid))

async function observe(stage, board, guilty, procs, scenario) {
  const times = [PERIOD_US, RUN_MS, PATIENCE_MS, scenario.settleMs]
  const args = [board, lineBytes, FLOOR_BYTES, ...times, procs, stage.initPid, guilty.hostPid].map(String)
  const child = spawn(observer, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.on('data', (data) => (said += data))
  await new Promise((resolve) => child.once('close', resolve))
  return JSON.parse(said)
}

/** What many processes held comes back over the next second; a run that begins before has all of that to take besides. */
async function memoryIsBack() {
  let before
  do {
    before = meminfoBytes('MemAvailable')
    await sleep(20)
  } while (meminfoBytes('MemAvailable') > before + 8 * MIB)
}

/** A guilty one that nobody killed in time gives back late, and under the line a tool would take who is only being seated for the next run. */
async function lineIsFree() {
  const deadline = Date.now() + PATIENCE_MS
  while (meminfoBytes('MemAvailable') < lineBytes + MARGIN_BYTES / 2 && Date.now() < deadline) await sleep(20)
}

let runCount = 0
async function runOnce({ stage, ballast, scenario, around, seats, stageDir }) {
  await lineIsFree()
  await fillSeats(stage, scenario, seats)
  await around.prepare()
  if (!wish.quick) await memoryIsBack()
  const startBytes = await ballast.settle(lineBytes + MARGIN_BYTES, wish.quick ? 500 : 60_000)
  if (startBytes < lineBytes + MARGIN_BYTES / 2)
    throw new Error(
      `others hold too much memory: ${Math.floor(startBytes / MIB)} MiB is available, the line is ${lineBytes / MIB} MiB`,
    )
  const id = `guilty-${++runCount}`
  const board = path.join('/dev/shm', `${path.basename(stageDir)}-board`)
  rmSync(board, { force: true })
  try {
    // From the start on a kill is an early one.
    const early = dead(seats)
    const cap = startBytes - lineBytes + DEPTH_CAP_BYTES
    const guilty = await stage.container(id, [scenario.engine, board, String(cap), ...scenario.load], scenario)
    stage.register(id, guilty, scenario.budgetBytes)
    await sleep(10)
    const seen = await observe(stage, board, guilty, path.join(stage.groupOf('unified', id), 'cgroup.procs'), scenario)
    if (stopping) throw new Error('it was stopped')
    // Of many processes the first one's signal is not everybody's.
    const killNs = scenario.many ? seen.killNs : seen.signalNs
    const since = (ns) => (seen.died && !seen.floor ? (seen.crossed ? ns / 1e6 : 0) : null)
    // Who dies by the floor is nobody's victim.
    const wrong = seen.floor ? early : [...new Set([...early, ...dead(seats)])]
    return {
      killMs: since(killNs),
      endMs: since(seen.killNs),
      beforeCrossing: seen.died && (!seen.crossed || killNs < 0),
      depthBytes: Math.max(0, lineBytes - seen.lowestBytes),
      wrongVictims: wrong.length,
      wrong,
      floor: seen.floor,
      seen,
    }
  } finally {
    await stage.clear(id)
    rmSync(path.join(stage.runDir, 'containers', id), { force: true })
    rmSync(board, { force: true })
  }
}

async function measureScenario({ tool, settings, scenario, stage, ballast, seats, stageDir, rest }) {
  const key = { scenario: scenario.name, tool: tool.name, settings }
  if (timeIsOver()) return { ...key, skipped: whyOver() }
  const runs = []
  let around = { prepare: async () => {}, end() {} }
  try {
    if (!wish.quick) await ballast.settle(lineBytes + MARGIN_BYTES + scenario.honestBytes)
    await fillSeats(stage, scenario, seats)
    if (scenario.around) around = await scenario.around.begin({ stage, dir: stageDir, quick: wish.quick })
    const wanted = runsOf(tool.name, scenario)
    for (let slow = 0; runs.length < wanted && !isHopeless(runs) && !timeIsOver() && !runs.at(-1)?.floor; ) {
      const run = await runOnce({ stage, ballast, scenario, around, seats, stageDir })
      // Where the host has to find the memory first, a fill may not come to the line in time: that says nothing about a tool.
      if (run.seen.crossed || run.seen.died) runs.push(run)
      else if (++slow === 3) throw new Error('memory comes too slowly for a fill to reach the line')
    }
    if (runs.length === 0) return { ...key, skipped: whyOver() }
  } catch (error) {
    if (runs.length === 0) return { ...key, skipped: error.message }
    say(`${tool.name} (${settings}), ${scenario.name}: ended after ${runs.length} runs: ${error.message}`)
  } finally {
    around.end()
  }
  const row = computeRow(key, runs, rest)
  row.lineBytes = lineBytes
  row.wrongNames = [...new Set(runs.flatMap((run) => run.wrong))]
  row.observer = {
    realtime: runs.every((run) => run.seen.realtime),
    longestGapMs: Math.max(...runs.map((run) => run.seen.longestGapNs)) / 1e6,
    fillBytesPerSecond: Math.round(
      Math.max(...runs.map((run) => (run.seen.fillNs > 0 ? (run.seen.takenBytes / run.seen.fillNs) * 1e9 : 0))),
    ),
  }
  say(formatRows([row]).split('\n')[2])
  return row
}

// --- all of it ----------------------------------------------------------------------------------------------------------

async function measureTool({ tool, settings, chosen, ballast, mounts, dir }) {
  const stageDir = mkdtempSync(path.join(dir, 'stage-'))
  mkdirSync(path.join(stageDir, 'log'))
  if (wish.quick) await ballast.close()
  const stage = await openStage({ load, mounts, dir: stageDir })
  try {
    stagePid = stage.initPid
    if (stopping) throw new Error(whyOver())
    const seats = {}
    if (!wish.quick) await ballast.settle(lineBytes + MARGIN_BYTES + SERVICE_BYTES + chosen[0].honestBytes)
    await fillSeats(stage, chosen[0], seats)
    if (wish.quick) await drawQuickLine(ballast)
    const cannot = tool.cannot?.({ lineBytes, memTotalBytes }) ?? null
    if (cannot !== null) throw new Error(cannot)
    const running = await startTool(tool, settings, stage, stageDir)
    const rest = await measureRest(running.pid)
    const rows = []
    for (const scenario of chosen) {
      if (!isAlive(running.pid)) {
        rows.push({ scenario: scenario.name, tool: tool.name, settings, skipped: `it ended: ${running.said().trim()}` })
        continue
      }
      rows.push(await measureScenario({ tool, settings, scenario, stage, ballast, seats, stageDir, rest }))
    }
    return rows
  } catch (error) {
    const skipped = stopping ? whyOver() : error.message
    return chosen.map((scenario) => ({ scenario: scenario.name, tool: tool.name, settings, skipped }))
  } finally {
    await stage.close()
    rmSync(stageDir, { recursive: true, force: true })
  }
}

function whyNotHere() {
  if (process.getuid() !== 0) return 'it needs root'
  const needed = lineBytes + MARGIN_BYTES
  if (meminfoBytes('MemAvailable') < needed) return `it needs ${(needed / GIB).toFixed(1)} GiB of MemAvailable`
  if (lineBytes - FLOOR_BYTES - GIB < DEPTH_CAP_BYTES)
    return 'this machine is too small: a load could come near its end'
  return null
}

async function measureAll() {
  const reason = whyNotHere()
  const { defaultReserveBytes } = await fromDist('plan/compile.js')
  const { readCgroupLayout } = await fromDist('host/cgroup.js')
  const { raiseOvercommit, restoreSetting } = await fromDist('host/huge-pages.js')
  const dir = mkdtempSync(path.join(os.tmpdir(), 'spark-bench-'))
  const tools = listTools({ native, tools: path.join(root, 'native/build/bench-tools'), dir, defaultReserveBytes })
  refuseUnknown('tool', wish.tool, namesOf(tools), () => rmSync(dir, { recursive: true, force: true }))
  const chosenTools = tools.filter(({ name }) => isChosen(wish.tool, name))
  const chosen = scenarios
    .filter(({ name }) => isChosen(wish.scenario, name))
    .map((scenario) => (wish.quick ? { ...scenario, honestBytes: QUICK_HONEST_BYTES } : scenario))
  const layout = readCgroupLayout()
  const mounts = { unified: layout.unifiedMount, memory: layout.memoryMount, freezer: layout.freezerMount }
  if (layout.memoryMount !== null) mounts.pids = path.join(path.dirname(layout.memoryMount), 'pids')
  for (const [hierarchy, mount] of Object.entries(mounts)) if (mount === null) delete mounts[hierarchy]
  const ballast = openBallast(load)
  let changed
  let lengthenPageLists = () => {}
  const rows = []
  const wished = SETTINGS.filter((name) => isChosen(wish.settings, name))
  // Who most likely cannot on a quick run's stage takes of the next one's share what it needs to say why.
  const hasShare = ({ skipped, cannot }) => skipped === null && cannot === undefined
  let sharesLeft = wished.length * chosenTools.filter(hasShare).length
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, stop)
  try {
    if (reason === null && chosenTools.some(({ skipped }) => skipped === null)) {
      changed = raiseOvercommit(Math.ceil((memTotalBytes - FLOOR_BYTES) / (2 * MIB)))
      lengthenPageLists = shortenPageLists()
    }
    for (const settings of wished) {
      for (const tool of chosenTools) {
        const usedMs = Date.now() - began
        shareEndsMs = usedMs + (hasShare(tool) ? (QUICK_MS - usedMs) / sharesLeft-- : SAY_WHY_MS)
        const skipped = tool.skipped ?? reason ?? (timeIsOver() ? whyOver() : null)
        if (skipped !== null)
          rows.push(...chosen.map((scenario) => ({ scenario: scenario.name, tool: tool.name, settings, skipped })))
        else rows.push(...(await measureTool({ tool, settings, chosen, ballast, mounts, dir })))
      }
    }
  } finally {
    await ballast.close()
    if (changed !== undefined) restoreSetting(changed)
    lengthenPageLists()
    rmSync(dir, { recursive: true, force: true })
  }
  return rows
}

const loadBefore = os.loadavg()[0]
execFileSync('make', ['-s', '-C', path.join(root, 'native'), 'bench-guard'], { stdio: ['ignore', 'ignore', 'inherit'] })
const rows = await measureAll()
const goals = [...new Set(rows.map((row) => row.scenario))].flatMap((scenario) =>
  ['default', 'best'].map((settings) => judgeScenario(rows, scenario, settings)).filter((goal) => goal !== null),
)
const about = {
  schemaVersion: 1,
  date: new Date().toISOString(),
  quick: wish.quick,
  cpus: os.cpus().length,
  memTotalBytes,
  marginBytes: MARGIN_BYTES,
  depthCapBytes: DEPTH_CAP_BYTES,
  loadAverageBefore: loadBefore,
}
if (wish.json) console.log(JSON.stringify({ ...about, rows, goals }))
else {
  console.log(formatRows(rows))
  for (const goal of goals)
    console.log(
      `${goal.scenario} (${goal.settings}): p99 ≤ 5 ms ${goal.p99Kept}, depth ≤ 1/10 of the best other ${goal.depthKept ?? 'no other held the line'}, no wrong victim ${goal.noWrongVictims}`,
    )
}
