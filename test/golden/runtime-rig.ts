import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { nativeBuildDir } from '../../src/host/package-files.js'

const GIB = 1024 ** 3

/** The smallest configuration that a runtime takes. */
export const CONFIG = JSON.stringify({
  ociVersion: '1.0.2',
  process: { args: ['true'], env: ['PATH=/bin'], cwd: '/' },
  root: { path: 'rootfs' },
  linux: {},
})

/** What the memory cgroup of the made-up machine can do. */
export type CgroupLayout = 'v1' | 'v1-no-swap' | 'v2' | 'none'

export interface RigOptions {
  readonly cgroup?: CgroupLayout
  /** Top-level keys of the plan to replace. */
  readonly plan?: Readonly<Record<string, unknown>>
  /** Whether somebody holds the guard's lock; default true. */
  readonly guard?: boolean
}

/** A machine of 16 GiB with a reserve of 2 GiB under a temporary directory, and the built programs on it. */
export interface Rig {
  readonly dir: string
  readonly planFile: string
  readonly runDir: string
  readonly eventsFile: string
  at(...parts: string[]): string
  /** Writes a bundle; the text goes in as it is, with @ROOT@ replaced. */
  writeBundle(config: string, preload?: string): string
  runtime(args: readonly string[], options?: { cwd?: string }): Outcome
  /** `create` of a bundle written for it, as an engine asks: with a log in JSON. */
  create(config?: string, id?: string): Outcome
  hook(args: readonly string[], input?: string): Outcome
  events(): Record<string, unknown>[]
  writePlan(text: string): void
  plan(): Record<string, unknown>
  close(): void
}

export interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
  /** Arguments that the next runtime got; undefined where it was never started. */
  readonly nextArgs: string[] | undefined
}

/** The program under test: the built one, or a build of it under sanitizers (native/runtime/module.mk). */
function runtimeProgram(): string {
  return process.env.SPARK_RUN_TEST_RUNTIME ?? path.join(nativeBuildDir(), 'spark-runtime')
}

/** Reason why the built programs cannot be tested here, or undefined. */
export function nativeMissing(): string | undefined {
  if (!existsSync(path.join(nativeBuildDir(), 'spark-runtime')))
    return 'native/build has no spark-runtime: npm run build'
  if (spawnSync('flock', ['--version']).status !== 0) return 'no flock(1) to play the guard with'
  return undefined
}

export async function makeRig(options: RigOptions = {}): Promise<Rig> {
  const dir = mkdtempSync(path.join(tmpdir(), 'spark-golden-'))
  const at = (...parts: string[]) => path.join(dir, ...parts)
  const libDir = at('usr/lib/spark-run')
  const runDir = at('run/spark-run')
  const planFile = at('etc/spark-run/plan.json')
  const eventsFile = at('var/log/spark-run/events.jsonl')
  for (const made of [libDir, runDir, path.dirname(planFile), path.dirname(eventsFile)]) {
    mkdirSync(made, { recursive: true })
  }
  cpSync(runtimeProgram(), path.join(libDir, 'spark-runtime'))
  linkSync(path.join(libDir, 'spark-runtime'), path.join(libDir, 'spark-hook'))
  writeFileSync(path.join(libDir, 'ledger'), '')
  writeFileSync(path.join(libDir, 'ld.so.preload'), '/usr/lib/spark-run/libspark-shim.so\n')
  // The fake next runtime says what it was given and nothing else.
  writeFileSync(at('next'), `#!/bin/sh\nfor word in "$@"; do printf '%s\\n' "$word"; done >${at('next-args')}\n`, {
    mode: 0o755,
  })
  describeMachine(dir, options.cgroup ?? 'v1')
  const plan = { ...basePlan(dir), ...options.plan }
  writeFileSync(planFile, JSON.stringify(plan, null, 2))
  const guard = options.guard === false ? undefined : await holdLock(path.join(runDir, 'guard.lock'))

  const start = (program: string, args: readonly string[], input: string | undefined, cwd: string): Outcome => {
    rmSync(at('next-args'), { force: true })
    const result = spawnSync(path.join(libDir, program), args, {
      cwd,
      input: input ?? '',
      encoding: 'utf8',
      timeout: 10_000,
    })
    const nextArgs = existsSync(at('next-args'))
      ? readFileSync(at('next-args'), 'utf8').split('\n').slice(0, -1)
      : undefined
    return { status: result.status, stdout: result.stdout, stderr: result.stderr, nextArgs }
  }
  const rig: Rig = {
    dir,
    planFile,
    runDir,
    eventsFile,
    at,
    writeBundle: (config, preload) => {
      mkdirSync(at('bundle/rootfs/etc'), { recursive: true })
      if (preload !== undefined) writeFileSync(at('bundle/rootfs/etc/ld.so.preload'), preload)
      writeFileSync(at('bundle/config.json'), config.replaceAll('@ROOT@', dir))
      return at('bundle')
    },
    runtime: (args, { cwd = dir } = {}) =>
      start('spark-runtime', [`--spark-plan=${planFile}`, ...args], undefined, cwd),
    create: (config = CONFIG, id = 'c1') => {
      const bundle = rig.writeBundle(config)
      return rig.runtime(['--log', at('log'), '--log-format', 'json', 'create', '--bundle', bundle, id])
    },
    hook: ([verb = '', ...args], input) => start('spark-hook', [verb, '--plan', planFile, ...args], input, dir),
    events: () =>
      existsSync(eventsFile)
        ? readFileSync(eventsFile, 'utf8')
            .trimEnd()
            .split('\n')
            .map((line) => JSON.parse(line))
        : [],
    writePlan: (text) => writeFileSync(planFile, text),
    plan: () => JSON.parse(readFileSync(planFile, 'utf8')),
    close: () => {
      guard?.kill('SIGKILL')
      rmSync(dir, { recursive: true, force: true })
    },
  }
  return rig
}

/**
 * JSON split into its tokens, so that two texts are compared without their white space and without ever turning a number
 * into a JavaScript number (which loses 64-bit integers).
 */
export function jsonTokens(text: string): string[] {
  return text.match(/"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+/g) ?? []
}

/** The tokens laid out for people: one member or element a line, empty containers closed at once. */
export function layOut(tokens: readonly string[]): string {
  let depth = 0
  let text = ''
  tokens.forEach((token, index) => {
    const newline = () => `\n${'  '.repeat(depth)}`
    if (token === '}' || token === ']') {
      depth--
      const isEmpty = tokens[index - 1] === '{' || tokens[index - 1] === '['
      text += isEmpty ? token : newline() + token
    } else {
      const before = tokens[index - 1] ?? ''
      if (before === '{' || before === '[' || before === ',') text += newline()
      text += token === ':' ? ': ' : token
      if (token === '{' || token === '[') depth++
    }
  })
  return `${text}\n`
}

function basePlan(dir: string): Record<string, unknown> {
  const hook = (hookName: string) => ({
    hookName,
    path: `${dir}/usr/lib/spark-run/spark-hook`,
    args: ['spark-hook', hookName, '--plan', `${dir}/etc/spark-run/plan.json`],
    env: ['PATH=/usr/bin:/bin'],
    timeout: 10,
  })
  return {
    planVersion: 1,
    generator: 'golden tests',
    nextRuntime: `${dir}/next`,
    paths: {
      libDir: `${dir}/usr/lib/spark-run`,
      runDir: `${dir}/run/spark-run`,
      logDir: `${dir}/var/log/spark-run`,
      procDir: `${dir}/proc`,
    },
    host: { reserveBytes: 2 * GIB, withholdBytes: 0 },
    budget: {
      defaultBytes: 4 * GIB,
      maxBytes: null,
      minBytes: 256 * 1024 ** 2,
      wishes: [
        { env: 'SPARK_RUN_BUDGET', unitBytes: 1 },
        { env: 'MAX_MEMORY_LIMIT_GB', unitBytes: GIB },
      ],
    },
    onGuardMissing: 'refuse',
    cgroup: { limitMemory: true, oomScoreAdj: 500 },
    containerEdits: {
      env: [
        {
          unlessEnv: [
            'MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_SIZE',
            'MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_SIZE_PERCENT',
          ],
          env: [
            // biome-ignore lint/suspicious/noTemplateCurlyInString: a placeholder of the plan
            'MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_SIZE=${engine_bytes}',
            'MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_ONLY=true',
          ],
        },
        // biome-ignore lint/suspicious/noTemplateCurlyInString: placeholders of the plan
        { unlessEnv: [], env: ['BUDGET=${budget_bytes}/${budget_mib}/${other}', 'CONTAINER=${id}'] },
      ],
      mounts: [
        {
          hostPath: `${dir}/usr/lib/spark-run`,
          containerPath: '/usr/lib/spark-run',
          options: ['rbind', 'ro', 'nosuid', 'nodev'],
        },
        {
          // biome-ignore lint/suspicious/noTemplateCurlyInString: a placeholder of the plan
          hostPath: '${ledger}',
          containerPath: '/usr/lib/spark-run/ledger',
          options: ['bind', 'rw', 'nosuid', 'nodev', 'noexec'],
        },
      ],
      preload: '/usr/lib/spark-run/libspark-shim.so',
      hooks: [hook('prestart'), hook('createRuntime'), hook('poststop')],
    },
  }
}

/** A /proc and cgroup mounts as the plan's `paths.procDir` shows them. */
function describeMachine(dir: string, cgroup: CgroupLayout): void {
  const cgroupDir = path.join(dir, 'cgroup')
  mkdirSync(path.join(dir, 'proc/self'), { recursive: true })
  mkdirSync(cgroupDir)
  // This process lives there too: an admission counts only while its caller does.
  symlinkSync(`/proc/${process.pid}`, path.join(dir, 'proc', String(process.pid)))
  writeFileSync(
    path.join(dir, 'proc/meminfo'),
    `MemTotal:       ${16 * 1024 ** 2} kB\nMemFree:        ${14 * 1024 ** 2} kB\nMemAvailable:   ${15 * 1024 ** 2} kB\n`,
  )
  const options = cgroup === 'v2' ? 'cgroup2 cgroup2 rw' : `cgroup cgroup rw,${cgroup === 'none' ? 'cpu' : 'memory'}`
  writeFileSync(path.join(dir, 'proc/self/mountinfo'), `25 24 0:22 / ${cgroupDir} rw - ${options}\n`)
  if (cgroup === 'v2') {
    writeFileSync(path.join(cgroupDir, 'cgroup.controllers'), 'cpu memory pids\n')
    mkdirSync(path.join(cgroupDir, 'system.slice'))
    writeFileSync(path.join(cgroupDir, 'system.slice/memory.swap.max'), 'max\n')
  }
  if (cgroup === 'v1') writeFileSync(path.join(cgroupDir, 'memory.memsw.limit_in_bytes'), '0\n')
}

/** Holds the lock as a guard does, until killed. */
async function holdLock(file: string): Promise<ChildProcess> {
  const holder = spawn('flock', ['--no-fork', '--exclusive', file, 'sleep', '300'], { stdio: 'ignore' })
  for (let attempt = 0; attempt < 500; attempt++) {
    if (existsSync(file) && spawnSync('flock', ['--nonblock', '--shared', file, 'true']).status !== 0) return holder
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  holder.kill('SIGKILL')
  throw new Error(`flock did not take ${file} within 5 s`)
}
