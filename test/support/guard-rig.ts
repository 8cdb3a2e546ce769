import { type ChildProcess, spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type GuardEvent, readEvents } from '../../src/guard/events.js'
import { type GuardProcess, startGuardProcess } from '../../src/guard/process.js'
import { readTombstones, type Tombstone } from '../../src/guard/tombstones.js'
import { readCgroupLayout } from '../../src/host/cgroup.js'
import { nativeBuildDir } from '../../src/host/package-files.js'

const MIB = 1024 ** 2

export const GUARD = path.join(nativeBuildDir(), 'spark-guard')
const FILL = path.join(nativeBuildDir(), 'test', 'guard-fill')

const layout = readCgroupLayout()
/** Where containers get their cgroups; null where this machine has no such hierarchy or it cannot be written. */
export const cgroupMounts = {
  unified: writable(layout.unifiedMount),
  freezer: writable(layout.freezerMount),
  memory: writable(layout.memoryMount),
}
type Hierarchy = keyof typeof cgroupMounts

interface StandIn {
  readonly id: string
  readonly pid: number
  alive(): boolean
  /** What it wrote, and what was written into its stderr. */
  said(): string
  exited(): Promise<NodeJS.Signals | number | null>
}

export interface GuardRig {
  readonly runDir: string
  readonly logDir: string
  /** A meminfo that `setAvailable` writes; real processes are killed by it all the same. */
  readonly meminfo: string
  setAvailable(mib: number): void
  start(options: {
    reserveBytes: number
    withholdBytes?: number
    onForeign?: 'nothing' | 'kill-largest'
    real?: boolean
  }): Promise<GuardProcess>
  /** Starts a program that takes huge pages, in cgroups of its own, and registers it like a container. */
  standIn(id: string, options: StandInOptions): Promise<StandIn>
  events(type: string): Promise<GuardEvent[]>
  tombstone(id: string): Promise<Tombstone | undefined>
  close(): Promise<void>
}

interface StandInOptions {
  readonly takeMib: number
  readonly budgetBytes: number
  readonly priority?: number
  readonly in: readonly Hierarchy[]
  /** The cgroup's name, if it is to be shared. */
  readonly group?: string
  /** Shell text before it takes its memory. */
  readonly before?: string
}

/** Directories, cgroups and processes for one test of the guard; `close` leaves nothing of them. */
export function guardRig(): GuardRig {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'spark-guard-'))
  const [runDir, logDir, meminfo] = [path.join(dir, 'run'), path.join(dir, 'log'), path.join(dir, 'meminfo')]
  const children: ChildProcess[] = []
  const groups = new Set<string>()
  const guards: GuardProcess[] = []

  function setAvailable(mib: number): void {
    const kib = mib * 1024
    const totalKib = 8 * 1024 * 1024
    const text = [
      `MemTotal: ${totalKib} kB`,
      'MemFree: 0 kB',
      `MemAvailable: ${kib} kB`,
      `AnonPages: ${totalKib - kib} kB`,
      'HugePages_Total: 2048',
      'HugePages_Free: 0',
      'Hugepagesize: 2048 kB',
    ]
    // In place, all at once: the guard keeps the file open.
    writeFileSync(meminfo, `${text.join('\n')}\n`.padEnd(512, '\n'), { flag: existsSync(meminfo) ? 'r+' : 'w' })
  }
  setAvailable(4096)

  function group(hierarchy: Hierarchy, name: string): string {
    const mount = cgroupMounts[hierarchy]
    if (mount === null) return ''
    const dirOf = path.join(mount, `${path.basename(dir)}-${name}`)
    mkdirSync(dirOf, { recursive: true })
    groups.add(dirOf)
    return dirOf
  }

  async function standIn(id: string, options: StandInOptions): Promise<StandIn> {
    const cgroup = (hierarchy: Hierarchy) =>
      options.in.includes(hierarchy) ? group(hierarchy, options.group ?? id) : ''
    const cgroups = { unified: cgroup('unified'), freezer: cgroup('freezer'), memory: cgroup('memory') }
    const enter = Object.values(cgroups).filter((where) => where !== '')
    const script = [
      // A pipe as engines give it (Node's own would be a socket), with a reader that stays outside the container.
      'exec 2> >(exec cat)',
      ...enter.map((where) => `echo $$ > ${where}/cgroup.procs`),
      // It waits until it is registered, as a container does.
      'echo entered; read go',
      options.before ?? '',
      `exec ${FILL} ${options.takeMib * MIB}`,
    ].join('\n')
    const child = spawn('/bin/bash', ['-c', script], { stdio: 'pipe' })
    children.push(child)
    let said = ''
    const entered = new Promise<void>((resolve) => {
      child.stdout.on('data', (data: Buffer) => {
        said += data
        resolve()
      })
    })
    const exit = new Promise<NodeJS.Signals | number | null>((resolve) => {
      child.on('exit', (code, signal) => resolve(signal ?? code))
    })
    await Promise.race([entered, exit])
    const pid = child.pid as number
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = {
      version: 1,
      id,
      name: id,
      request: `request-of-${id}`,
      engine: 'unknown',
      pid,
      pid_start: stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19],
      cgroup_v2: cgroups.unified,
      cgroup_memory: cgroups.memory,
      cgroup_freezer: cgroups.freezer,
      ...Object.fromEntries(
        Object.entries(cgroups)
          .filter(([, where]) => where !== '')
          .map(([hierarchy, where]) => [
            `cgroup_${hierarchy === 'unified' ? 'v2' : hierarchy}_id`,
            statSync(where).ino,
          ]),
      ),
      budget_bytes: options.budgetBytes,
      reserve_bytes: 0,
      priority: options.priority ?? 0,
      ledger: '',
      created_ns: process.hrtime.bigint(),
      end: 1,
    }
    mkdirSync(path.join(runDir, 'containers'), { recursive: true })
    const file = path.join(runDir, 'containers', id)
    const temporary = path.join(runDir, 'containers', `.${id}.tmp`)
    writeFileSync(
      temporary,
      Object.entries(fields)
        .map(([key, value]) => `${key}=${value}\n`)
        .join(''),
    )
    renameSync(temporary, file)
    await sleep(50)
    child.stdin.write('go\n')
    return {
      id,
      pid,
      alive: () => child.exitCode === null && child.signalCode === null,
      said: () => said,
      exited: () => exit,
    }
  }

  return {
    runDir,
    logDir,
    meminfo,
    setAvailable,
    standIn,
    async start({ reserveBytes, withholdBytes = 0, onForeign = 'nothing', real = false }) {
      const extraArgs = real ? [] : ['--meminfo', meminfo, '--drop-caches', '/dev/null']
      const sizes = { reserveBytes, withholdBytes }
      const guard = await startGuardProcess({ binary: GUARD, runDir, logDir, ...sizes, onForeign, extraArgs })
      guards.push(guard)
      return guard
    },
    async events(type) {
      return (await readEvents(path.join(logDir, 'events.jsonl'))).filter((event) => event.type === type)
    },
    tombstone: async (id) => (await readTombstones(path.join(runDir, 'tombstones'))).find((stone) => stone.id === id),
    async close() {
      await Promise.all(guards.map((guard) => guard.stop()))
      for (const child of children) if (child.exitCode === null) child.kill('SIGKILL')
      for (const where of groups) await removeGroup(where)
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** Ends what is left in a cgroup (children of children too) and removes it. */
async function removeGroup(where: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    try {
      for (const pid of readFileSync(path.join(where, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean)) {
        process.kill(Number(pid), 'SIGKILL')
      }
      rmdirSync(where)
      return
    } catch {
      await sleep(20)
    }
  }
}

function writable(mount: string | null): string | null {
  if (mount === null) return null
  const probe = path.join(mount, `spark-guard-probe-${process.pid}`)
  try {
    mkdirSync(probe)
    rmdirSync(probe)
    return mount
  } catch {
    return null
  }
}
