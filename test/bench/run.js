// Measures what spark-run costs: each figure a ratio or a difference of two sides timed in turn, in one run.
//   npm run bench                        every figure, as a table
//   npm run bench -- --json [NAME …]     one JSON object; names: docker-run, state, passthrough, guard, alloc, load
// Needs root and dockerd (a private one is started) for docker-run and state.
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { medianMs, pairedDifferenceMs, pairedRatio, sideBySide } from './timing.js'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')
const cli = path.join(root, 'bin/spark-run.js')
const native = path.join(root, 'native/build', process.arch === 'arm64' ? 'aarch64' : 'x86_64')
const fromDist = (file) => import(path.join(root, 'dist', file))

/** A private daemon with spark-run installed under a prefix of its own, and a one-file image. */
async function withInstalledDocker(use) {
  const { startPrivateDockerd } = await fromDist('engines/private-dockerd.js')
  const prefix = mkdtempSync(path.join(os.tmpdir(), 'spark-bench-'))
  const dockerd = await startPrivateDockerd()
  const env = { ...process.env, ...dockerd.env }
  const spark = (...args) =>
    execFileSync(process.execPath, [cli, ...args], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  const where = ['--docker-host', dockerd.host, '--daemon-json', dockerd.configFile]
  try {
    spark('install', 'docker', '--yes', '--prefix', prefix, ...where)
    try {
      const rootfs = path.join(prefix, 'image')
      mkdirSync(path.join(rootfs, 'bin'), { recursive: true })
      execFileSync('cp', ['/bin/busybox', path.join(rootfs, 'bin/busybox')])
      execFileSync('sh', ['-c', 'tar -C "$0" -c . | docker import - spark-bench', rootfs], { env, stdio: 'ignore' })
      return await use({ env, prefix })
    } finally {
      spark('uninstall', 'docker', '--yes', '--prefix', prefix)
    }
  } finally {
    await dockerd.stop()
    rmSync(prefix, { recursive: true, force: true })
  }
}

/** `docker run --rm` through spark-runtime, hooks and all, against plain runc on the same daemon. */
async function dockerRun() {
  return await withInstalledDocker(({ env }) => {
    const run = (runtime) =>
      ['docker', 'run', '--rm', `--runtime=${runtime}`, '--network=none', '-e', 'SPARK_RUN_BUDGET=512m'].concat([
        'spark-bench',
        '/bin/busybox',
        'true',
      ])
    const { spark, runc } = sideBySide({ spark: run('spark'), runc: run('runc') }, 30, { env })
    return {
      what: 'docker run --rm with runtime spark / with runc',
      goal: 'ratio at most 1.05',
      ratio: pairedRatio(spark, runc),
      sparkMs: medianMs(spark),
      runcMs: medianMs(runc),
      rounds: 30,
    }
  })
}

/** What every `docker ps`-like call pays: `state` through spark-runtime against runc itself. */
async function state() {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'spark-bench-'))
  const runc = ['runc', '--root', path.join(dir, 'state')]
  try {
    mkdirSync(path.join(dir, 'bundle/rootfs/bin'), { recursive: true })
    execFileSync('cp', ['/bin/busybox', path.join(dir, 'bundle/rootfs/bin/busybox')])
    const [program, ...args] = runc
    execFileSync(program, [...args, 'spec', '--bundle', path.join(dir, 'bundle')])
    const file = path.join(dir, 'bundle/config.json')
    const config = JSON.parse(readFileSync(file, 'utf8'))
    config.process.terminal = false
    config.process.args = ['/bin/busybox', 'sleep', '600']
    delete config.process.rlimits
    writeFileSync(file, JSON.stringify(config))
    execFileSync(program, [...args, 'create', '--bundle', path.join(dir, 'bundle'), 'bench'], { stdio: 'ignore' })
    try {
      const plan = path.join(dir, 'plan.json')
      const { compilePlan } = await fromDist('plan/compile.js')
      const { defaultPolicy } = await fromDist('plan/policy.js')
      const { hostPaths } = await fromDist('host/paths.js')
      const nextRuntime = execFileSync('sh', ['-c', 'command -v runc'], { encoding: 'utf8' }).trim()
      const memTotalBytes = os.totalmem()
      writeFileSync(
        plan,
        JSON.stringify(
          compilePlan({
            policy: defaultPolicy,
            memTotalBytes,
            paths: hostPaths(dir),
            nextRuntime,
            packageVersion: '0',
          }),
        ),
      )
      const front = [path.join(native, 'spark-runtime'), `--spark-plan=${plan}`, ...args, 'state', 'bench']
      const sides = sideBySide({ spark: front, runc: [...runc, 'state', 'bench'] }, 200)
      return {
        what: 'spark-runtime state − runc state',
        goal: 'at most +1 ms',
        differenceMs: pairedDifferenceMs(sides.spark, sides.runc),
        sparkMs: medianMs(sides.spark),
        runcMs: medianMs(sides.runc),
        rounds: 200,
      }
    } finally {
      execFileSync(program, [...args, 'delete', '--force', 'bench'])
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** What the launcher adds to a docker command that it passes through, in units of starting Node at all. */
function passthrough() {
  const version = ['docker', '--version']
  const sides = sideBySide(
    { spark: [process.execPath, cli, ...version], docker: version, node: [process.execPath, '-e', '0'] },
    40,
  )
  const added = sides.spark.runs.map((ms, round) => (ms - sides.docker.runs[round]) / sides.node.runs[round])
  return {
    what: '(spark-run docker --version − docker --version) / node -e 0',
    goal: 'at most 1.6',
    ratio: added.sort((a, b) => a - b)[Math.floor(added.length / 2)],
    sparkMs: medianMs(sides.spark),
    dockerMs: medianMs(sides.docker),
    nodeMs: medianMs(sides.node),
    rounds: 40,
  }
}

const statusField = (pid, name) =>
  Number(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024

/** Memory of a process where a page that several share counts in parts: /proc/<pid>/smaps_rollup. */
const pssBytes = (pid) => Number(/^Pss:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]) * 1024

/** Processor time of a process in nanoseconds: /proc/<pid>/schedstat, first field. */
const cpuNs = (pid) => Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0])

/** Every process of a guard: itself and the one that writes for it. */
function familyOf(pid) {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/).filter(Boolean)
  return [pid, ...children.map(Number)]
}

/** A guard on a machine with nothing to do: processor time, memory, and whether either grows. */
async function guard(seconds = 30) {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'spark-bench-'))
  for (const name of ['run/containers', 'run/tombstones', 'log']) mkdirSync(path.join(dir, name), { recursive: true })
  const child = spawn(
    path.join(native, 'spark-guard'),
    ['--run-dir', path.join(dir, 'run'), '--log-dir', path.join(dir, 'log'), '--reserve-bytes', String(1 << 30)],
    { stdio: 'ignore' },
  )
  try {
    await sleep(2_000)
    const family = familyOf(child.pid)
    const sum = (read) => family.reduce((total, pid) => total + read(pid), 0)
    const before = { ns: sum(cpuNs), at: process.hrtime.bigint(), data: sum((pid) => statusField(pid, 'VmData')) }
    await sleep(seconds * 1_000)
    const elapsedNs = Number(process.hrtime.bigint() - before.at)
    return {
      what: 'guard at rest',
      goal: 'under 0.2 % of a core, under 2 MiB, no allocation after start',
      corePercent: ((sum(cpuNs) - before.ns) / elapsedNs) * 100,
      rssBytes: statusField(child.pid, 'VmRSS'),
      pssAllProcessesBytes: sum(pssBytes),
      dataGrowthBytes: sum((pid) => statusField(pid, 'VmData')) - before.data,
      seconds,
    }
  } finally {
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    await ended
    rmSync(dir, { recursive: true, force: true })
  }
}

/** A hooked cuMemAlloc + cuMemFree beside the driver's own, with few and with a million live, and what a live one takes. */
function alloc() {
  execFileSync('make', ['-s', '-C', path.join(root, 'native'), 'bench'], { stdio: ['ignore', 'ignore', 'inherit'] })
  const seen = JSON.parse(execFileSync(path.join(native, 'test/bench/alloc'), { encoding: 'utf8' }))
  return {
    what: 'hooked cuMemAlloc + cuMemFree − bare, on a driver that does nothing',
    goal: 'at most +200 ns a pair, constant at a million live, at most 64 bytes each',
    ...seen,
    pairs: 2_000,
    rounds: 301,
  }
}

/** What the preloaded shim adds to the start of a program that never opens the driver. */
function load() {
  const start = (preload) => ['/usr/bin/env', `LD_PRELOAD=${preload}`, '/bin/true']
  const sides = sideBySide({ shim: start(path.join(native, 'libspark-shim.so')), bare: start('') }, 300)
  return {
    what: '/bin/true with the shim preloaded − without',
    goal: 'at most +2 ms',
    differenceMs: pairedDifferenceMs(sides.shim, sides.bare),
    shimMs: medianMs(sides.shim),
    bareMs: medianMs(sides.bare),
    rounds: 300,
  }
}

const figures = { 'docker-run': dockerRun, state, passthrough, guard, alloc, load }

const args = process.argv.slice(2)
const json = args.includes('--json')
const names = args.filter((arg) => arg !== '--json')
const unknown = names.filter((name) => !(name in figures))
if (unknown.length > 0) {
  console.error(`bench: unknown figure ${unknown.join(', ')}; there are ${Object.keys(figures).join(', ')}`)
  process.exit(2)
}
const results = {}
for (const [name, measure] of Object.entries(figures)) {
  if (names.length > 0 && !names.includes(name)) continue
  if (!json) console.error(`measuring ${name} …`)
  results[name] = await measure()
}
if (json) console.log(JSON.stringify({ schemaVersion: 1, node: process.version, cpus: os.cpus().length, results }))
else
  for (const [name, { what, goal, ...numbers }] of Object.entries(results)) {
    const shown = Object.entries(numbers).map(
      ([key, value]) => `${key} ${Number.isInteger(value) ? value : value.toFixed(3)}`,
    )
    console.log(`${name}: ${what} (goal: ${goal})\n  ${shown.join('   ')}`)
  }
