import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { ExpectedError } from '../errors.js'
import { findTombstone, readTombstones } from '../guard/tombstones.js'
import { hugePagesInUseBytes, readMeminfo } from '../host/meminfo.js'
import { nativeBuildDir, packageDir } from '../host/package-files.js'
import type { HostPaths } from '../host/paths.js'
import { quoteCommand } from '../launch/shell-quote.js'
import type { Grant } from '../plan/flags.js'
import { expandPlaceholders, placeholderValues } from '../plan/placeholders.js'
import type { Plan } from '../plan/plan.js'
import { encodeRequest } from '../plan/request.js'
import type { SmallMachine } from './machine.js'
import type { Observer } from './observer.js'
import { type RunningPerformance, startPerformance } from './performance.js'
import type { Screen } from './screen.js'
import type { Actor, Role, Stage } from './stage.js'

export interface ProcessStageSetup {
  readonly paths: HostPaths
  readonly plan: Plan
  readonly machine: SmallMachine
  readonly screen: Screen
  readonly observer: Observer
  readonly signal: AbortSignal
  /** Told of every process that is started. */
  readonly onProcess: (pid: number) => void
  /** False where the kernel gives us no huge pages: each process then has shared memory of its own. */
  readonly hugePages: boolean
  /** Root file system with Python and MAX in it, or why there is none. */
  readonly maxRoot: { readonly root: string } | { readonly missing: string }
}

/** Plays the scenes on plain processes: simulator, shim, admission and guard are real, containers and cgroups are missing. */
export function createProcessStage(setup: ProcessStageSetup): Stage {
  const { paths, plan, machine, screen, observer, signal, hugePages, maxRoot } = setup
  const running = new Map<string, RunningPerformance>()
  const hook = path.join(paths.libDir, 'spark-hook')
  let baselineBytes = 0

  const simulatorEnv = () => ({
    LD_LIBRARY_PATH: path.join(nativeBuildDir(), 'sim'),
    SPARK_SIM_TOTAL: String(machine.sizeBytes),
    SPARK_SIM_BASELINE: String(baselineBytes),
    SPARK_SIM_PAGES: hugePages ? 'hugetlb' : 'anonymous',
  })

  /** The program of an actor; MAX brings its own loader and libraries, so that it runs beside any C library. */
  function programOf(actor: Actor, preload: string | undefined): { argv: string[]; env: Record<string, string> } {
    if (actor === 'greedy') return { argv: [path.join(nativeBuildDir(), 'greedy')], env: preloadEnv(preload) }
    if ('missing' in maxRoot) throw new Error(`there is no MAX: ${maxRoot.missing}`)
    const { root } = maxRoot
    const loader = ['lib64/ld-linux-x86-64.so.2', 'lib/ld-linux-aarch64.so.1']
      .map((file) => path.join(root, file))
      .find((file) => existsSync(file)) as string
    const multiarch = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`
    const libraries = [path.join(nativeBuildDir(), 'sim'), path.join(root, 'usr/lib', multiarch)].join(':')
    return {
      argv: [
        ...[loader, '--library-path', libraries, ...(preload === undefined ? [] : ['--preload', preload])],
        ...[path.join(root, 'usr/bin/python3.11'), path.join(packageDir, 'images/max/probe.py')],
      ],
      env: {
        PYTHONHOME: path.join(root, 'usr'),
        PYTHONPATH: path.join(root, 'usr/lib/python3/dist-packages'),
        PYTHONDONTWRITEBYTECODE: '1',
        HOME: paths.runDir,
      },
    }
  }

  function perform(
    role: Role,
    argv: readonly string[],
    env: Record<string, string>,
    shown: string,
  ): RunningPerformance {
    signal.throwIfAborted()
    const performance = startPerformance({
      // It waits until it is known to the guard.
      argv: ['/bin/sh', '-c', 'read -r cue && exec "$@"', 'sh', ...argv],
      env: { PATH: '/usr/bin:/bin', ...simulatorEnv(), ...env },
      command: shown,
      outputFile: path.join(paths.logDir, `${role.name}.log`),
    })
    setup.onProcess(performance.pid)
    running.set(role.name, performance)
    observer.watchProcesses([...running.values()].filter((each) => !each.hasExited()).map((each) => each.pid))
    return performance
  }

  async function ask(argv: readonly [string, ...string[]]): Promise<{ exitCode: number; output: string }> {
    const asked = startPerformance({ argv, env: { ...process.env, SPARK_RUN_PREFIX: paths.prefix }, command: '' })
    return { exitCode: await asked.exited, output: asked.output().trimEnd() }
  }

  /** The same admission that a container goes through. */
  async function admit(role: Role, budgetBytes: number): Promise<Grant> {
    const id = randomUUID()
    const request = encodeRequest({ id, budgetBytes, name: role.name })
    const answer = await ask([hook, 'admit', '--plan', paths.planFile, '--id', id, '--request', request])
    if (answer.exitCode !== 0)
      throw new ExpectedError('NOT_ADMITTED', `${role.name} was refused: ${ownWords(answer.output)}`)
    return JSON.parse(answer.output) as Grant
  }

  async function register(role: Role, grant: Grant, pid: number): Promise<void> {
    const answer = await ask([
      ...([hook, 'register', '--plan', paths.planFile, '--id', grant.id, '--name', role.name] as const),
      ...['--pid', String(pid), '--pgid', String(pid), '--budget-bytes', String(grant.budgetBytes)],
      ...['--ledger', grant.ledger, '--engine', 'process'],
    ])
    if (answer.exitCode !== 0)
      throw new ExpectedError('NOT_REGISTERED', `${role.name} could not be registered: ${ownWords(answer.output)}`)
  }

  return {
    engine: 'none',
    machine,
    screen,
    observer,
    signal,
    cgroupName: 'resident (top)',
    gpuFlags: () =>
      Object.entries(simulatorEnv())
        .map(([name, value]) => `${name}=${value}`)
        .join(' '),
    guardSeesUse: hugePages,
    beginScene() {
      baselineBytes = hugePages ? hugePagesInUseBytes(readMeminfo().hugePages) : 0
      running.clear()
    },
    freeShare: () => readMeminfo('/proc/meminfo', machine.withholdBytes).availableBytes / machine.sizeBytes,
    whyNot: (actor) => (actor === 'max' && 'missing' in maxRoot ? maxRoot.missing : undefined),

    async startUnprotected(role) {
      const { argv, env } = programOf(role.actor, undefined)
      const performance = perform(
        role,
        [...argv, ...role.args],
        env,
        `$GPU ${quoteCommand([role.actor, ...role.args])}`,
      )
      performance.cue()
      return performance
    },

    async startHeld(role, budgetBytes) {
      const grant = await admit(role, budgetBytes)
      const goesPast = role.bypass === true
      // Without huge pages there is nothing to take past the simulator, so the engine goes past the shim only.
      const args = goesPast && !hugePages ? role.args.map((arg) => (arg === 'bypass' ? 'greedy' : arg)) : role.args
      const preload = goesPast ? undefined : path.join(paths.libDir, 'libspark-shim.so')
      const { argv, env } = programOf(role.actor, preload)
      const held = goesPast ? {} : { SPARK_RUN_LEDGER: grant.ledger, ...knobsOf(plan, grant) }
      const shown = [goesPast ? '' : '$SHIM ', '$GPU ', quoteCommand([role.actor, ...args])].join('')
      const performance = perform(role, [...argv, ...args], { ...env, ...held }, shown)
      await register(role, grant, performance.pid)
      performance.cue()
      return performance
    },

    readStatsBytes: async () => undefined,
    isAlive: async (name) => running.get(name)?.hasExited() === false,

    async findKill(name) {
      const tombstone = findTombstone(await readTombstones(paths.tombstoneDir), name)
      if (tombstone === undefined) return undefined
      const explained = await ask([process.execPath, path.join(packageDir, 'bin', 'spark-run.js'), 'explain', name])
      return {
        sentence: tombstone.sentence,
        log: running.get(name)?.output() ?? '',
        explanation: explained.exitCode === 0 ? explained.output : '',
      }
    },
  }
}

/** What one of our programs said, without its name before it. */
function ownWords(output: string): string {
  return output.replace(/^spark-run: /, '')
}

function preloadEnv(preload: string | undefined): Record<string, string> {
  return preload === undefined ? {} : { LD_PRELOAD: preload }
}

/** The engines' own variables, as a container gets them. */
function knobsOf(plan: Plan, grant: Grant): Record<string, string> {
  const values = placeholderValues(grant)
  const assignments = plan.containerEdits.env.flatMap((group) => group.env)
  return Object.fromEntries(
    assignments.map((assignment) => {
      const [name = '', ...value] = expandPlaceholders(assignment, values).split('=')
      return [name, value.join('=')]
    }),
  )
}
