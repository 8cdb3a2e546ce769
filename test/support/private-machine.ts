import { spawn, spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type EngineTalk, parseEngineTalk } from '../../src/demo/engine-talk.js'
import { computeBypassLimit, computeSmallMachine, type SmallMachine } from '../../src/demo/machine.js'
import { layPlan, layPrograms } from '../../src/demo/prefix.js'
import { createUndoStack, type UndoStack } from '../../src/demo/undo.js'
import { makeShortTemporaryDir, startPrivateDockerd } from '../../src/engines/private-dockerd.js'
import { computeMissingForDockerd, findProgram, readDockerdGround } from '../../src/engines/private-dockerd-needs.js'
import { startGuardProcess } from '../../src/guard/process.js'
import { computeOvercommit, raiseOvercommit, restoreSetting } from '../../src/host/huge-pages.js'
import { hugePagesInUseBytes, readMeminfo } from '../../src/host/meminfo.js'
import { nativeBuildDir, packageDir } from '../../src/host/package-files.js'
import type { HostPaths } from '../../src/host/paths.js'
import { buildImage } from '../../src/images/build.js'

export const MIB = 1024 ** 2
/** What images/greedy rounds its share to. */
const PIECE_BYTES = 2 * MIB

/** As much of the machine as a test puts at stake. */
const SIZE_BYTES = 1536 * MIB

/** How long to wait for other programs of this host to give back what they took of the machine. */
const ROOM_PATIENCE_MS = 60_000

/** What a program printed and how it ended. */
interface Ran {
  status: number | null
  stdout: string
  stderr: string
  /** What the engine in it told. */
  talk: EngineTalk
}

/** A small machine: part of this one's memory, its own prefix and guard; engines are added to it. */
export interface PrivateMachine {
  machine: SmallMachine
  paths: HostPaths
  undo: UndoStack
  /** Environment of spark-run for this machine. */
  env: NodeJS.ProcessEnv
  /** What is left to containers: 100 % of a budget. */
  usableBytes: number
  /** Flags of `run` that bring the simulated GPU. */
  gpu(): string[]
  /** Arguments of an engine that asks the kernel, past every library, for more than the machine has, in steps that let the guard act. */
  bypass(): string[]
  /** Runs a program to its end, without blocking this process. */
  run(program: string, args: readonly string[]): Promise<Ran>
  sparkRun(...args: string[]): Promise<Ran>
  stop(): Promise<void>
}

/** What is missing for tests with a Docker daemon of their own, in words; empty when nothing is. */
export function missingForDockerTests(): string[] {
  const missing = computeMissingForDockerd(readDockerdGround())
  return findProgram('docker') === undefined ? [...missing, 'the program docker is not installed'] : missing
}

/** For the name of a suite: why it is skipped. */
export function because(missing: readonly string[]): string {
  return missing.length === 0 ? '' : ` (skipped: ${missing.join('; ')})`
}

/**
 * Lays a prefix, raises huge pages, starts a guard; `stop` undoes all of it.
 *
 * @param spareBytes memory of this host that is left beside the machine's own. Where no test of it comes near the reserve,
 *   other programs can take as much without a refusal or a kill.
 */
export async function startPrivateMachine(spareBytes = 0): Promise<PrivateMachine> {
  const undo = createUndoStack()
  const dir = makeShortTemporaryDir('spark-test-')
  await undo.add(dir, () => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }))
  try {
    const paths = layPrograms(path.join(dir, 'prefix'))
    const { availableBytes, totalBytes, hugePages } = readMeminfo()
    const small = computeSmallMachine(availableBytes, SIZE_BYTES)
    const machine = { ...small, withholdBytes: Math.max(0, small.withholdBytes - spareBytes) }
    layPlan(paths, machine, findProgram('runc') ?? '/usr/bin/runc')
    const setting = raiseOvercommit(computeOvercommit(hugePages, computeBypassLimit(machine)))
    if (setting !== undefined) await undo.add('huge pages', () => restoreSetting(setting))
    const guard = await startGuardProcess({
      binary: path.join(paths.libDir, 'spark-guard'),
      ...paths,
      reserveBytes: machine.reserveBytes,
      withholdBytes: machine.withholdBytes,
    })
    await undo.add('the guard', guard.stop)
    const env: NodeJS.ProcessEnv = { ...process.env, SPARK_RUN_PREFIX: paths.prefix }
    const run = (program: string, args: readonly string[]) => runWithRoom(machine, program, args, env)
    return {
      machine,
      paths,
      undo,
      env,
      usableBytes: totalBytes - machine.withholdBytes - machine.reserveBytes,
      gpu: () => [
        ...['-v', `${path.join(nativeBuildDir(), 'sim')}:/usr/local/spark-sim:ro`],
        ...['-e', 'LD_LIBRARY_PATH=/usr/local/spark-sim'],
        ...['-e', `SPARK_SIM_TOTAL=${machine.sizeBytes}`],
        ...['-e', `SPARK_SIM_BASELINE=${hugePagesInUseBytes(readMeminfo().hugePages)}`],
      ],
      bypass: () => [
        '--mode',
        'bypass',
        '--chunk',
        '8m',
        '--limit',
        String(computeBypassLimit(machine)),
        '--hold',
        '30',
      ],
      run,
      sparkRun: (...args) => run(process.execPath, [path.join(packageDir, 'bin/spark-run.js'), ...args]),
      stop: async () => {
        const left = await undo.run()
        if (left.length > 0) throw new Error(`not cleaned up: ${left.join('; ')}`)
      },
    }
  } catch (error) {
    await undo.run()
    throw error
  }
}

/** Adds a private Docker daemon with our runtime. @returns the tag of the greedy image. */
export async function addDocker({ paths, undo, env }: PrivateMachine) {
  const dockerd = await startPrivateDockerd({
    runtimes: {
      spark: { path: path.join(paths.libDir, 'spark-runtime'), runtimeArgs: [`--spark-plan=${paths.planFile}`] },
    },
  })
  await undo.add('the private Docker daemon', dockerd.stop)
  Object.assign(env, dockerd.env)
  const docker = await dockerd.docker()
  return { dockerd, docker, greedy: await buildImage(docker, 'greedy') }
}

/**
 * Runs a program when the guard would let a container start. Memory that others take in between is waited for as well, where
 * a refusal leaves no container behind.
 */
async function runWithRoom(
  machine: SmallMachine,
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<Ran> {
  const giveUpAt = Date.now() + ROOM_PATIENCE_MS
  for (;;) {
    await waitForRoom(machine, giveUpAt)
    const ran = await runProgram(program, args, env)
    const refused = ran.status !== 0 && ran.stderr.includes('this host is short of memory')
    if (!refused || !args.includes('--rm') || Date.now() > giveUpAt) return ran
    await sleep(200)
  }
}

async function waitForRoom({ withholdBytes, reserveBytes }: SmallMachine, giveUpAt: number): Promise<void> {
  // The guard's soft line, twice the reserve, and the eighth above it at which it is calm again.
  const roomBytes = 2 * reserveBytes + reserveBytes / 8
  while (readMeminfo('/proc/meminfo', withholdBytes).availableBytes < roomBytes && Date.now() < giveUpAt)
    await sleep(50)
}

function runProgram(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.once('error', reject)
    child.once('close', (status) => resolve({ status, stdout, stderr, talk: parseEngineTalk(stdout) }))
  })
}

/** Waits until `engine logs <name>` shows that the engine in it holds all of the `percent` of what it saw free: it takes that piece by piece. */
export async function waitUntilHolding(
  machine: PrivateMachine,
  engine: readonly string[],
  name: string,
  percent: number,
): Promise<void> {
  const [program, ...args] = engine as [string, ...string[]]
  for (let tries = 0; tries < 100; tries += 1) {
    const { stdout } = spawnSync(program, [...args, 'logs', name], { env: machine.env, encoding: 'utf8' })
    const { saw, heldBytes } = parseEngineTalk(stdout)
    if (saw !== null && heldBytes > (saw.freeBytes * percent) / 100 - PIECE_BYTES) return
    await sleep(100)
  }
  throw new Error(`${name} never said that it holds ${percent} % of what it saw free`)
}
