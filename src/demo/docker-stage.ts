import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import type { PrivateDockerd } from '../engines/private-dockerd.js'
import { findTombstone, readTombstones } from '../guard/tombstones.js'
import { hugePagesInUseBytes, readMeminfo } from '../host/meminfo.js'
import { nativeBuildDir, packageDir } from '../host/package-files.js'
import type { HostPaths } from '../host/paths.js'
import { quoteCommand } from '../launch/shell-quote.js'
import { findMemoryCgroup } from './container-cgroup.js'
import type { SmallMachine } from './machine.js'
import type { Observer } from './observer.js'
import { startPerformance } from './performance.js'
import type { Screen } from './screen.js'
import type { Actor, Performance, Role, Stage } from './stage.js'

/** Where a container finds the simulated driver. */
const SIMULATOR_DIR = '/usr/local/spark-sim'

export interface DockerStageSetup {
  readonly dockerd: PrivateDockerd
  readonly paths: HostPaths
  readonly machine: SmallMachine
  readonly screen: Screen
  readonly observer: Observer
  readonly signal: AbortSignal
  /** Image of each actor, or why there is none. */
  readonly images: Readonly<Record<Actor, { readonly image: string } | { readonly missing: string }>>
}

const MIB = 1024 ** 2

/** Plays the scenes with the docker command line on a private daemon that has our runtime. */
export async function createDockerStage(setup: DockerStageSetup): Promise<Stage> {
  const { dockerd, paths, machine, screen, observer, signal, images } = setup
  const docker = await dockerd.docker()
  const env = { ...process.env, ...dockerd.env, SPARK_RUN_PREFIX: paths.prefix, SPARK_RUN_QUIET: undefined }
  let baselineBytes = 0

  const simulatorFlags = () => [
    ...['-v', `${path.join(nativeBuildDir(), 'sim')}:${SIMULATOR_DIR}:ro`],
    ...['-e', `LD_LIBRARY_PATH=${SIMULATOR_DIR}`],
    ...['-e', `SPARK_SIM_TOTAL=${machine.sizeBytes}`],
    ...['-e', `SPARK_SIM_BASELINE=${baselineBytes}`],
  ]

  function perform(role: Role, before: readonly string[], shownBefore: readonly string[]): Performance {
    signal.throwIfAborted()
    const actor = images[role.actor]
    if ('missing' in actor) throw new Error(`there is no image of ${role.actor}: ${actor.missing}`)
    const run = ['run', ...(role.keep === true ? [] : ['--rm']), '--name', role.name]
    const performance = startPerformance({
      argv: [...before, ...run, ...simulatorFlags(), actor.image, ...role.args] as [string, ...string[]],
      env,
      command: `${quoteCommand([...shownBefore, ...run])} $GPU ${quoteCommand([actor.image, ...role.args])}`,
      end: () => removeContainer(docker, role.name),
    })
    void watchContainer(role.name, performance)
    return performance
  }

  /** Tells the observer where the container is charged, as soon as there is one. */
  async function watchContainer(name: string, performance: Performance): Promise<void> {
    while (!performance.hasExited() && !signal.aborted) {
      const pid = await readPid(docker, name)
      const files = pid === undefined ? undefined : findMemoryCgroup(pid)
      if (files !== undefined) return observer.watch(files)
      await sleep(20)
    }
  }

  async function ask(argv: readonly [string, ...string[]]): Promise<string> {
    const asked = startPerformance({ argv, env, command: '' })
    return (await asked.exited) === 0 ? asked.output().trimEnd() : ''
  }

  return {
    engine: 'docker',
    machine,
    screen,
    observer,
    signal,
    cgroupName: 'memory cgroup',
    gpuFlags: () => quoteCommand(simulatorFlags()),
    guardSeesUse: true,
    beginScene() {
      baselineBytes = hugePagesInUseBytes(readMeminfo().hugePages)
    },
    freeShare: () => readMeminfo('/proc/meminfo', machine.withholdBytes).availableBytes / machine.sizeBytes,
    whyNot(actor) {
      const entry = images[actor]
      return 'missing' in entry ? entry.missing : undefined
    },
    startUnprotected: async (role) => perform(role, ['docker'], ['docker']),
    async startHeld(role, budgetBytes) {
      const budget = ['--budget', `${Math.floor(budgetBytes / MIB)}m`, 'docker']
      return perform(
        role,
        [process.execPath, path.join(packageDir, 'bin', 'spark-run.js'), ...budget],
        ['spark-run', ...budget],
      )
    },
    readStatsBytes: (name) => readStatsBytes(docker, name),
    isAlive: async (name) => (await readPid(docker, name)) !== undefined,
    async findKill(name) {
      const tombstone = findTombstone(await readTombstones(paths.tombstoneDir), name)
      if (tombstone === undefined) return undefined
      return {
        sentence: tombstone.sentence,
        log: await ask(['docker', 'logs', name]),
        explanation: await ask([process.execPath, path.join(packageDir, 'bin', 'spark-run.js'), 'explain', name]),
      }
    },
  }
}

async function removeContainer(docker: Dockerode, name: string): Promise<void> {
  await docker
    .getContainer(name)
    .remove({ force: true, v: true })
    // Not there any more, or never: both are what was wanted.
    .catch(() => {})
}

/** Its init in this pid namespace, or undefined while it does not run. */
async function readPid(docker: Dockerode, name: string): Promise<number | undefined> {
  try {
    const { State } = await docker.getContainer(name).inspect()
    return State.Running && State.Pid > 0 ? State.Pid : undefined
  } catch {
    return undefined
  }
}

/** The number in the column MEM USAGE of `docker stats`: the charge without what the kernel can drop at once. */
async function readStatsBytes(docker: Dockerode, name: string): Promise<number | undefined> {
  try {
    const { memory_stats: memory } = await docker.getContainer(name).stats({ stream: false, 'one-shot': true })
    const { total_inactive_file: v1, inactive_file: v2 } = memory.stats as Record<string, number | undefined>
    return Math.max(0, memory.usage - (v1 ?? v2 ?? 0))
  } catch {
    return undefined
  }
}
