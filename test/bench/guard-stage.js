// Where a run of bench:guard plays: a pid namespace of its own, so that no tool can reach a process that is not the bench's, and the
// whole of it ends with its first process. Cgroups, registry and the ballast that puts MemAvailable where a run begins.
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, renameSync, rmdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export const MIB = 1024 ** 2
export const GIB = 1024 ** 3
const BALLAST_STEP_BYTES = 256 * MIB

/** A field of /proc/meminfo, in bytes. */
export const meminfoBytes = (name) =>
  Number(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(readFileSync('/proc/meminfo', 'utf8'))[1]) * 1024

/** True while a process lives; a zombie does not. */
export function isAlive(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !'ZX'.includes(stat[stat.lastIndexOf(')') + 2])
  } catch {
    return false
  }
}

/** Starts a load and waits until it says that it is ready. */
async function startLoad(command, args, stderr = 'inherit') {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', stderr] })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const line = await new Promise((resolve, reject) => {
    let said = ''
    child.stdout.on('data', (data) => {
      said += data
      if (said.includes('\n')) resolve(said.split('\n')[0])
    })
    child.once('exit', (code, signal) =>
      reject(new Error(`a load ended before it began (${signal ?? code}): ${args.slice(-12).join(' ')}`)),
    )
  })
  const [, hostPid, ownPid] = line.split(' ')
  return { hostPid: Number(hostPid), ownPid: Number(ownPid), ended }
}

/** Memory that stands aside, in huge pages: taken and given back in steps until MemAvailable is where it should be. */
export function openBallast(load) {
  const held = []
  return {
    /** @returns what is available then; less than asked for where others hold too much. */
    async settle(wantedBytes, patienceMs = 10_000) {
      for (const began = Date.now(); ; ) {
        const available = meminfoBytes('MemAvailable')
        if (available < wantedBytes && held.length > 0) {
          const last = held.pop()
          process.kill(last.hostPid, 'SIGKILL')
          await last.ended
        } else if (available < wantedBytes && Date.now() - began < patienceMs) await sleep(20)
        else if (available > wantedBytes + 2 * BALLAST_STEP_BYTES)
          held.push(await startLoad(load, ['ballast', '-', String(BALLAST_STEP_BYTES), 'hold-huge']))
        else return available
      }
    },
    async close() {
      for (const one of held) if (isAlive(one.hostPid)) process.kill(one.hostPid, 'SIGKILL')
      await Promise.all(held.splice(0).map((one) => one.ended))
    },
  }
}

/**
 * @param load the program of loads
 * @param mounts hierarchy → mount point, of those that containers get cgroups in
 * @param dir a directory of the bench's own
 */
export async function openStage({ load, mounts, dir }) {
  const prefix = `spark-bench-${process.pid}`
  const groups = new Set()
  // unshare says something about signals when it is ended; nobody needs it.
  const alone = ['--pid', '--mount', '--fork', '--kill-child']
  const init = await startLoad(
    'setpriv',
    ['--pdeathsig', 'KILL', 'unshare', ...alone, load, 'init', '-', '0', 'init'],
    'ignore',
  )
  const enter = ['--target', String(init.hostPid), '--pid', '--mount', '--']
  const runDir = path.join(dir, 'run')
  mkdirSync(path.join(runDir, 'containers'), { recursive: true })
  const groupOf = (hierarchy, id) => path.join(mounts[hierarchy], `${prefix}-${id}`)

  return {
    initPid: init.hostPid,
    runDir,
    groupOf,
    /** A program that sees the processes of the stage alone. `stdio[3]` and so on are its own. */
    tool(argv, stdio) {
      return spawn('nsenter', [...enter, 'unshare', '--mount', '--mount-proc', ...argv], { stdio })
    },
    /** A load outside any container. */
    outside: (...args) => startLoad('nsenter', [...enter, load, ...args]),
    /** A load in cgroups of its own; `pidsMax` where there is a controller for that. */
    async container(id, args, { pidsMax } = {}) {
      const files = Object.keys(mounts).map((hierarchy) => {
        const group = groupOf(hierarchy, id)
        mkdirSync(group, { recursive: true })
        groups.add(group)
        return path.join(group, 'cgroup.procs')
      })
      if (pidsMax !== undefined && mounts.pids !== undefined)
        writeFileSync(path.join(groupOf('pids', id), 'pids.max'), String(pidsMax))
      return await startLoad('nsenter', [...enter, load, ...args, ...files])
    },
    /** A short program in a container that is there already. */
    async inContainer(id, args) {
      const files = Object.keys(mounts).map((hierarchy) => path.join(groupOf(hierarchy, id), 'cgroup.procs'))
      const child = spawn('nsenter', [...enter, load, ...args, ...files], { stdio: ['ignore', 'ignore', 'inherit'] })
      await new Promise((resolve) => child.once('exit', resolve))
    },
    /** Tells the guard of it, as spark-runtime's hook does. */
    register(id, { hostPid, ownPid }, budgetBytes) {
      const stat = readFileSync(`/proc/${hostPid}/stat`, 'utf8')
      const group = (hierarchy) => (mounts[hierarchy] === undefined ? '' : groupOf(hierarchy, id))
      const fields = {
        version: 1,
        id,
        name: id,
        request: '',
        engine: 'unknown',
        pid: ownPid,
        pid_start: stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19],
        cgroup_v2: group('unified'),
        cgroup_memory: group('memory'),
        cgroup_freezer: group('freezer'),
        budget_bytes: budgetBytes,
        reserve_bytes: 0,
        priority: 0,
        ledger: '',
        created_ns: process.hrtime.bigint(),
        end: 1,
      }
      const lines = Object.entries(fields).map(([key, value]) => `${key}=${value}\n`)
      const temporary = path.join(runDir, 'containers', `.${id}.tmp`)
      writeFileSync(temporary, lines.join(''))
      renameSync(temporary, path.join(runDir, 'containers', id))
    },
    /** Ends whatever is left of a container and takes its cgroups away. */
    async clear(id) {
      for (const group of Object.keys(mounts).map((hierarchy) => groupOf(hierarchy, id))) {
        if (groups.delete(group)) await removeGroup(group)
      }
    },
    async close() {
      if (isAlive(init.hostPid)) process.kill(init.hostPid, 'SIGKILL')
      await init.ended
      for (const group of groups) await removeGroup(group)
    },
  }
}

async function removeGroup(group) {
  for (let tries = 0; tries < 500; tries++) {
    try {
      for (const pid of readFileSync(path.join(group, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean)) {
        if (isAlive(pid)) process.kill(Number(pid), 'SIGKILL')
      }
      rmdirSync(group)
      return
    } catch (error) {
      if (error.code === 'ENOENT') return
      await sleep(10)
    }
  }
}

/**
 * Linux 6.7 and later keep up to an eighth of memory on processors' page lists when programs end, for a minute and more; MemAvailable
 * does not count it, and the next run would have all of it to take before the line. Lists of a 512th are the shortest with room to work.
 * Returns what puts the setting back; nothing is changed where it is set already, is not known or may not be written.
 */
export function shortenPageLists() {
  const file = '/proc/sys/vm/percpu_pagelist_high_fraction'
  try {
    const before = readFileSync(file, 'utf8').trim()
    if (before !== '0') return () => {}
    writeFileSync(file, '512')
    return () => writeFileSync(file, before)
  } catch {
    return () => {}
  }
}
