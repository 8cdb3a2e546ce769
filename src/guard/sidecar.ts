import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { EXIT_REFUSED, ExpectedError } from '../errors.js'
import type { HostPaths } from '../host/paths.js'
import { type Plan, parsePlan } from '../plan/plan.js'
import { computeGuardArguments } from './process.js'
import { readTombstones, type Tombstone } from './tombstones.js'

/** The guard's container, one for each engine. */
export const SIDECAR_NAME = 'spark-run-guard'

/** Where the guard's image has its programs, and where containers see the libraries. */
const IMAGE_LIB_DIR = '/usr/lib/spark-run'

const PLAN_LABEL = 'io.spark-run.plan'
const ROLE_LABEL = 'io.spark-run.role'
/** End any process, write into its log, look at all of them, never be paged out, come first when the machine is busy. */
const CAPABILITIES = ['KILL', 'SYS_PTRACE', 'DAC_OVERRIDE', 'IPC_LOCK', 'SYS_NICE']
/** Protects the guard itself from the kernel's OOM killer. Engines in containers and sandboxes often lack it. */
const EXTRA_CAPABILITY = 'SYS_RESOURCE'
const READY_DEADLINE_MS = 15_000
const READY_INTERVAL_MS = 50

/** The part of an engine's command line that the sidecar needs; see src/launch/engine-cli.ts. */
export interface AskEngine {
  ask(
    args: readonly string[],
    options?: { readonly input?: string | Buffer; readonly timeoutMs?: number },
  ): Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }>
}

export interface SidecarWishes {
  readonly paths: HostPaths
  /** Makes sure that the engine has the guard's image, and returns its tag. Called only when there is no guard yet. */
  ensureImage(): Promise<string>
  /** The plan for an engine whose containers find the libraries in this directory of its host. */
  compile(libDir: string): Plan
  /** Told what takes time. */
  readonly say: (sentence: string) => void
}

/** A guard that runs as a container of the engine whose containers it guards. */
export interface Sidecar {
  /** The plan it was started with; what it admits and what containers are told must be one. */
  readonly plan: Plan
  /** Runs `spark-hook` beside the guard. */
  hook(
    args: readonly string[],
    input?: string,
  ): Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }>
  readTombstones(): Promise<Tombstone[]>
  /** Copies one file or directory of the engine's host out; undefined where it is missing. The caller removes it. */
  copyOut(hostPath: string): Promise<string | undefined>
}

const inspectSchema = v.object({
  State: v.object({ Running: v.boolean() }),
  Config: v.object({ Labels: v.optional(v.nullable(v.record(v.string(), v.string())), {}) }),
})

/** The guard of an engine as it is now, running or not; undefined where it has none of ours. */
export async function findSidecar(engine: AskEngine, paths: HostPaths): Promise<Sidecar | undefined> {
  return (await inspectSidecar(engine, paths))?.sidecar
}

/**
 * The running guard of an engine; starts one where there is none. Needs nothing on the engine's host but the engine: the
 * libraries lie in a volume that the engine fills from the guard's image.
 *
 * @throws ExpectedError `GUARD_NOT_READY`, `GUARD_FOREIGN` or whatever `ensureImage` and `compile` throw; exit code 125.
 */
export async function ensureSidecar(engine: AskEngine, wishes: SidecarWishes): Promise<Sidecar> {
  const found = await inspectSidecar(engine, wishes.paths)
  if (found?.running === true) return found.sidecar
  if (found !== undefined) {
    wishes.say('the guard of this engine was stopped; starting it again')
    await must(engine, ['start', SIDECAR_NAME])
    await waitUntilReady(engine)
    return found.sidecar
  }
  wishes.say('no guard runs on this engine yet; starting one as a container')
  const image = await wishes.ensureImage()
  const libDir = await fillLibraryVolume(engine, image)
  const plan = wishes.compile(libDir.hostPath)
  for (const capabilities of [[...CAPABILITIES, EXTRA_CAPABILITY], CAPABILITIES]) {
    const outcome = await createAndStart(engine, {
      image,
      volume: libDir.volume,
      plan,
      paths: wishes.paths,
      capabilities,
    })
    if (outcome === 'started') return createSidecar(engine, plan, wishes.paths)
    // Another launcher was faster; its guard is ours, too.
    if (outcome === 'taken') return awaitOther(engine, wishes.paths)
  }
  throw notReady('the engine may not give a container the capabilities that a guard needs')
}

interface SidecarShape {
  readonly image: string
  readonly volume: string
  readonly plan: Plan
  readonly paths: HostPaths
  readonly capabilities: readonly string[]
}

/** @returns `incapable` where the engine itself lacks one of the capabilities; nothing is left behind then. */
async function createAndStart(engine: AskEngine, shape: SidecarShape): Promise<'started' | 'taken' | 'incapable'> {
  const created = await engine.ask(computeCreateArguments(shape))
  if (created.exitCode !== 0) {
    if (/already in use/.test(created.stderr)) return 'taken'
    throw notReady(created.stderr)
  }
  try {
    await copyIn(engine, shape.plan, shape.paths)
    await must(engine, ['start', SIDECAR_NAME])
    await waitUntilReady(engine)
    return 'started'
  } catch (error) {
    await engine.ask(['rm', '--force', SIDECAR_NAME])
    if (error instanceof ExpectedError && error.message.includes('apply caps')) return 'incapable'
    throw error
  }
}

/**
 * `docker create` for the guard: it sees the host's processes and cgroups, may read, signal and stop them, and has nothing
 * of the network. Not `--privileged`, which would give it every device as well.
 */
export function computeCreateArguments({ image, volume, plan, paths, capabilities }: SidecarShape): string[] {
  return [
    ...['create', '--name', SIDECAR_NAME, '--restart', 'unless-stopped'],
    ...['--label', `${ROLE_LABEL}=guard`, '--label', `${PLAN_LABEL}=${JSON.stringify(plan)}`],
    ...['--pid=host', '--cgroupns=host', '--userns=host', '--network=none', '--cap-drop=ALL'],
    ...capabilities.map((capability) => `--cap-add=${capability}`),
    // The default profiles forbid signals to, and reads of, processes outside; the masked paths hold drop_caches.
    ...['apparmor=unconfined', 'seccomp=unconfined', 'label=disable', 'systempaths=unconfined'].map(
      (option) => `--security-opt=${option}`,
    ),
    ...['--volume', `${volume}:${IMAGE_LIB_DIR}`],
    ...['--volume', `${paths.runDir}:${paths.runDir}`],
    ...['--volume', `${paths.logDir}:${paths.logDir}`],
    ...['--volume', '/sys/fs/cgroup:/sys/fs/cgroup'],
    ...['--entrypoint', `${IMAGE_LIB_DIR}/spark-guard`, image],
    ...computeGuardArguments({
      binary: '',
      runDir: paths.runDir,
      logDir: paths.logDir,
      reserveBytes: plan.host.reserveBytes,
      withholdBytes: plan.host.withholdBytes,
      onForeign: plan.onForeign,
    }),
    // An engine starts again what ended, and does not see what hangs. Standard output is the log in the engine, where readiness shows.
    ...['--supervise', '--ready-fd', '1'],
  ]
}

async function inspectSidecar(engine: AskEngine, paths: HostPaths) {
  const answer = await engine.ask(['container', 'inspect', '--format', '{{json .}}', SIDECAR_NAME])
  if (answer.exitCode !== 0) return undefined
  const { State, Config } = v.parse(inspectSchema, JSON.parse(answer.stdout))
  const planText = Config.Labels?.[PLAN_LABEL]
  if (planText === undefined) {
    throw new ExpectedError(
      'GUARD_FOREIGN',
      `this engine has a container named ${SIDECAR_NAME} that is not a guard of spark-run`,
      { hint: `Rename it: docker rename ${SIDECAR_NAME} NEW_NAME`, exitCode: EXIT_REFUSED },
    )
  }
  const plan = parsePlan(JSON.parse(planText), `the plan of container ${SIDECAR_NAME}`)
  return { running: State.Running, sidecar: createSidecar(engine, plan, paths) }
}

function createSidecar(engine: AskEngine, plan: Plan, paths: HostPaths): Sidecar {
  const copyOut = async (hostPath: string) => {
    const directory = await mkdtemp(path.join(tmpdir(), 'spark-run-'))
    const target = path.join(directory, path.basename(hostPath))
    const answer = await engine.ask(['cp', `${SIDECAR_NAME}:${hostPath}`, target])
    if (answer.exitCode === 0) return target
    await rm(directory, { recursive: true, force: true })
    return undefined
  }
  return {
    plan,
    copyOut,
    hook: (args, input) =>
      engine.ask(
        ['exec', ...(input === undefined ? [] : ['-i']), SIDECAR_NAME, `${IMAGE_LIB_DIR}/spark-hook`, ...args],
        input === undefined ? {} : { input },
      ),
    async readTombstones() {
      const copy = await copyOut(paths.tombstoneDir)
      if (copy === undefined) return []
      try {
        return await readTombstones(copy)
      } finally {
        await rm(path.dirname(copy), { recursive: true, force: true })
      }
    },
  }
}

/**
 * A volume holds the libraries because the engine itself fills it from the image, wherever the engine is and whoever asks;
 * its place on the host is what containers are given. Its name holds the image's id, so that another build is another volume.
 */
async function fillLibraryVolume(engine: AskEngine, image: string): Promise<{ volume: string; hostPath: string }> {
  const id = (await must(engine, ['image', 'inspect', '--format', '{{.Id}}', image])).trim().replace(/^sha256:/, '')
  const volume = `spark-run-lib-${id.slice(0, 12)}`
  await must(engine, ['volume', 'create', '--label', `${ROLE_LABEL}=libraries`, volume])
  const hostPath = (await must(engine, ['volume', 'inspect', '--format', '{{.Mountpoint}}', volume])).trim()
  return { volume, hostPath }
}

/** Puts into the created container what only this launch knows: the plan, and the two files that containers have mounted. */
async function copyIn(engine: AskEngine, plan: Plan, paths: HostPaths): Promise<void> {
  const root = await mkdtemp(path.join(tmpdir(), 'spark-run-'))
  try {
    for (const directory of [paths.registryDir, paths.ledgerDir, paths.tombstoneDir, paths.logDir, paths.etcDir]) {
      await mkdir(path.join(root, directory), { recursive: true, mode: 0o755 })
    }
    await mkdir(path.join(root, IMAGE_LIB_DIR), { recursive: true, mode: 0o755 })
    await writeFile(path.join(root, paths.planFile), `${JSON.stringify(plan, null, 2)}\n`)
    await writeFile(path.join(root, IMAGE_LIB_DIR, 'ld.so.preload'), `${plan.containerEdits.preload ?? ''}\n`)
    // A mount point for each container's ledger inside a directory that containers see read-only.
    await writeFile(path.join(root, IMAGE_LIB_DIR, 'ledger'), '')
    await must(engine, ['cp', '-', `${SIDECAR_NAME}:/`], await packTar(root))
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

async function packTar(root: string): Promise<Buffer> {
  const { pack } = await import('tar-fs')
  const chunks: Buffer[] = []
  // Everything belongs to root whoever runs this, and is readable for the users of any container.
  const tar = pack(root, {
    map: (header) => ({ ...header, uid: 0, gid: 0, mode: header.type === 'directory' ? 0o755 : 0o644 }),
  })
  for await (const chunk of tar) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

async function awaitOther(engine: AskEngine, paths: HostPaths): Promise<Sidecar> {
  const deadline = Date.now() + READY_DEADLINE_MS
  while (Date.now() < deadline) {
    const found = await inspectSidecar(engine, paths)
    if (found?.running === true) {
      await waitUntilReady(engine)
      return found.sidecar
    }
    await sleep(READY_INTERVAL_MS)
  }
  throw notReady('another launch created its container but did not start it')
}

async function waitUntilReady(engine: AskEngine): Promise<void> {
  const deadline = Date.now() + READY_DEADLINE_MS
  let lastWords = ''
  while (Date.now() < deadline) {
    const logs = await engine.ask(['logs', '--tail', '20', SIDECAR_NAME])
    if (logs.exitCode === 0 && logs.stdout !== '') return
    lastWords = logs.stderr
    await sleep(READY_INTERVAL_MS)
  }
  throw notReady(lastWords)
}

async function must(engine: AskEngine, args: readonly string[], input?: Buffer): Promise<string> {
  const answer = await engine.ask(args, input === undefined ? {} : { input })
  if (answer.exitCode !== 0) throw notReady(answer.stderr)
  return answer.stdout
}

function notReady(words: string): ExpectedError {
  const lines = words.trim().split('\n')
  const reason = lines.find((line) => line.startsWith('Error response from daemon: ')) ?? lines.at(-1) ?? ''
  return new ExpectedError(
    'GUARD_NOT_READY',
    `the guard could not be started as a container, so nothing else was started: ${reason === '' ? 'it said nothing' : reason}`,
    { exitCode: EXIT_REFUSED },
  )
}
