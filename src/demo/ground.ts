import { mkdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { makeShortTemporaryDir, type PrivateDockerd, startPrivateDockerd } from '../engines/private-dockerd.js'
import { findProgram } from '../engines/private-dockerd-needs.js'
import { ExpectedError } from '../errors.js'
import { startGuardProcess } from '../guard/process.js'
import { computeOvercommit, raiseOvercommit, restoreSetting } from '../host/huge-pages.js'
import { readMeminfo } from '../host/meminfo.js'
import type { HostPaths } from '../host/paths.js'
import { buildImage } from '../images/build.js'
import { prepareMaxRoot } from '../images/max-root.js'
import { formatBytes } from '../plan/size.js'
import { createDockerStage } from './docker-stage.js'
import { type Janitor, startJanitor } from './janitor.js'
import { computeBypassLimit, computeSmallMachine, type SmallMachine } from './machine.js'
import { startObserver } from './observer.js'
import { layPlan, layPrograms } from './prefix.js'
import { createProcessStage } from './process-stage.js'
import type { Screen } from './screen.js'
import type { Actor, Stage } from './stage.js'
import type { UndoStack } from './undo.js'

export interface GroundOptions {
  readonly screen: Screen
  readonly undo: UndoStack
  readonly signal: AbortSignal
  readonly engine: 'docker' | 'none' | undefined
  readonly machineBytes: number | undefined
}

/** Why containers are of no use without huge pages. */
const NO_STAND_IN = 'there are no huge pages, and only they can stand in for driver memory, which no memory cgroup sees'

/** Everything that is set up for the demo: a stage, and the guard that can be called onto it. */
export interface Ground {
  readonly stage: Stage
  /** Why there is no engine; undefined with one. */
  readonly engineMissing: string | undefined
  /** What stands in for the GPU. */
  readonly gpu: string
  startGuard(): Promise<void>
}

/**
 * Sets up the small machine. Whatever is made or changed is first entered into `undo` and told to the janitor.
 *
 * @throws ExpectedError where this machine lacks something that no scene can do without.
 */
export async function prepareGround(options: GroundOptions): Promise<Ground> {
  const { screen, undo, signal } = options
  // Before anything is made: a size that cannot be is better refused at once.
  computeSmallMachine(readMeminfo().availableBytes, options.machineBytes)
  const janitor = startJanitor()
  await undo.add('the janitor', () => janitor.dismiss())
  const dir = makeShortTemporaryDir('spark-demo-')
  janitor.tell({ kind: 'directory', dir })
  await undo.add(dir, () => rmSync(dir, { recursive: true, force: true }))
  const paths = layPrograms(path.join(dir, 'prefix'))

  const opened = await openEngine(options, dir, paths, janitor)
  signal.throwIfAborted()
  const maxRoot = await findMaxRoot(screen, signal)
  const images = 'dockerd' in opened ? await buildImages(opened.dockerd, maxRoot, screen, signal) : undefined
  signal.throwIfAborted()

  // Only now, when everything that needs memory of its own runs.
  const machine = computeSmallMachine(readMeminfo().availableBytes, options.machineBytes)
  const plan = layPlan(paths, machine, findProgram('runc') ?? '/usr/bin/runc')
  const noHugePages = await provideHugePages(machine, undo, janitor)
  const observer = startObserver({ meminfoFile: '/proc/meminfo', ...machine })
  await undo.add('the observer', () => observer.close())
  const common = { paths, machine, screen, observer, signal }
  const inContainers = 'dockerd' in opened && noHugePages === undefined
  const stage =
    inContainers && images !== undefined
      ? await createDockerStage({ ...common, dockerd: opened.dockerd, images })
      : createProcessStage({
          ...common,
          plan,
          hugePages: noHugePages === undefined,
          maxRoot,
          onProcess: (pid) => void endLater(pid),
        })

  async function endLater(pid: number) {
    janitor.tellProcess(pid)
    await undo.add(`process ${pid}`, () => {
      try {
        process.kill(-pid, 'SIGKILL')
      } catch {
        // It has ended.
      }
    })
  }

  return {
    stage,
    engineMissing: 'missing' in opened ? opened.missing : inContainers ? undefined : NO_STAND_IN,
    gpu:
      noHugePages === undefined ? 'simulated GB10 on huge pages' : `simulated GB10 on shared memory (${noHugePages})`,
    async startGuard() {
      const guard = await startGuardProcess({
        binary: path.join(paths.libDir, 'spark-guard'),
        runDir: paths.runDir,
        logDir: paths.logDir,
        reserveBytes: machine.reserveBytes,
        withholdBytes: machine.withholdBytes,
        extraArgs: stage.engine === 'none' ? ['--allow-process-groups'] : [],
      })
      janitor.tellProcess(guard.pid)
      await undo.add('the guard', guard.stop)
    },
  }
}

/** A private Docker daemon with our runtime, or the reason why plain processes have to do. */
async function openEngine(
  { engine, screen, undo }: GroundOptions,
  dir: string,
  paths: HostPaths,
  janitor: Janitor,
): Promise<{ dockerd: PrivateDockerd } | { missing: string }> {
  if (engine === 'none') return { missing: '--engine none was asked for' }
  const dockerDir = path.join(dir, 'd')
  mkdirSync(dockerDir)
  janitor.tell({ kind: 'dockerd', dir: dockerDir })
  try {
    if (findProgram('docker') === undefined) {
      throw new ExpectedError('DOCKER_MISSING', 'the program docker is not installed')
    }
    const dockerd = await startPrivateDockerd({
      dir: dockerDir,
      runtimes: {
        spark: { path: path.join(paths.libDir, 'spark-runtime'), runtimeArgs: [`--spark-plan=${paths.planFile}`] },
      },
    })
    janitor.tellProcess(dockerd.pid)
    await undo.add('the private Docker daemon', dockerd.stop)
    screen.say('A private Docker daemon runs; the one of this machine, if any, is left alone.')
    return { dockerd }
  } catch (error) {
    if (!(error instanceof ExpectedError) || engine === 'docker') throw error
    return { missing: error.message }
  }
}

type MaxRoot = { root: string } | { missing: string }

async function findMaxRoot(screen: Screen, signal: AbortSignal): Promise<MaxRoot> {
  try {
    signal.throwIfAborted()
    return { root: await prepareMaxRoot({ log: (line) => screen.say(line.replace(/^images\/max: /, 'MAX: ')) }) }
  } catch (error) {
    if (error instanceof ExpectedError) return { missing: error.message }
    throw error
  }
}

async function buildImages(dockerd: PrivateDockerd, maxRoot: MaxRoot, screen: Screen, signal: AbortSignal) {
  const docker = await dockerd.docker()
  const build = async (name: Actor) => {
    signal.throwIfAborted()
    return { image: await buildImage(docker, name, { log: (line) => screen.say(`Docker: ${line}.`) }) }
  }
  return { greedy: await build('greedy'), max: 'missing' in maxRoot ? maxRoot : await build('max') }
}

/**
 * Makes sure that the kernel gives huge pages, which no memory cgroup accounts for, just like the driver's.
 *
 * @returns undefined, or why there are none.
 */
async function provideHugePages(machine: SmallMachine, undo: UndoStack, janitor: Janitor): Promise<string | undefined> {
  const { hugePages } = readMeminfo()
  if (process.env.SPARK_SIM_PAGES === 'anonymous') return 'SPARK_SIM_PAGES=anonymous was asked for'
  if (hugePages.pageBytes === 0) return 'this kernel has no huge pages'
  const limitBytes = computeBypassLimit(machine)
  try {
    const setting = raiseOvercommit(computeOvercommit(hugePages, limitBytes))
    if (setting === undefined) return undefined
    janitor.tell({ kind: 'setting', setting })
    await undo.add('vm.nr_overcommit_hugepages', () => restoreSetting(setting))
    return undefined
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code !== 'EACCES' && code !== 'EROFS' && code !== 'EPERM') throw error
    return `vm.nr_overcommit_hugepages allows less than ${formatBytes(limitBytes)} of huge pages, and only root may raise it`
  }
}
