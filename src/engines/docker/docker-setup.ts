import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ExpectedError } from '../../errors.js'
import type { HostPaths } from '../../host/paths.js'
import { computeEdit, type FileChange } from '../../install/file-change.js'
import {
  makeDirectories,
  readFileState,
  removeFile,
  removeIfEmpty,
  writeFileAtomically,
} from '../../install/file-state.js'
import type { EngineRuntime, EngineSetup } from '../engine.js'
import { resolveProgram } from '../next-runtime.js'
import { type DaemonInfo, listContainersOfDaemon, listContainersOnDisk, readDaemonInfo } from './daemon-api.js'
import {
  addRuntime,
  computeForgettingText,
  type DaemonJson,
  parseDaemonJson,
  RUNTIME_NAME,
  refuseComments,
} from './daemon-json.js'
import { type DaemonProcess, findDaemonProcess, signalReload } from './daemon-process.js'
import { chooseDaemonJson, refuseFlagConflicts, refuseUnsupported, socketPathOf } from './docker-place.js'

export interface DockerOptions {
  readonly paths: HostPaths
  /** Docker's configuration file; default: the one that the running daemon reads, else /etc/docker/daemon.json. */
  readonly daemonJson?: string | undefined
  /** `unix://…` of the daemon; under a prefix there is none unless it is named. */
  readonly dockerHost?: string | undefined
  /** False: write the file and leave the daemon alone. */
  readonly reload: boolean
  /** Also make it the runtime of containers that name none. */
  readonly asDefault: boolean
  readonly purpose: 'install' | 'uninstall'
}

export interface DockerSetup extends EngineSetup {
  readonly daemonJson: string
  readonly dockerHost: string | null
}

/** Docker reads its file within milliseconds of the signal; a loaded machine gets time. */
const RELOAD_DEADLINE_MS = 15_000

/**
 * Looks at Docker on this host.
 *
 * @throws ExpectedError where it cannot be configured: rootless, snap, Docker Desktop, remote, a broken or foreign
 * configuration, flags that a configuration file may not repeat.
 */
export async function openDocker(options: DockerOptions): Promise<DockerSetup> {
  const { paths } = options
  const dockerHost = options.dockerHost ?? (paths.prefix === '' ? (process.env.DOCKER_HOST ?? DEFAULT_HOST) : undefined)
  const socket = dockerHost === undefined ? undefined : socketPathOf(dockerHost)
  const info = socket === undefined ? undefined : await readDaemonInfo(socket)
  const daemon = socket === undefined || info === undefined ? undefined : findDaemonProcess(socket)
  if (options.purpose === 'install') {
    refuseUnsupported({ info, daemon, onHost: paths.prefix === '' })
    refuseFlagConflicts(daemon, options.asDefault)
  }
  const daemonJson = chooseDaemonJson(options.daemonJson, daemon, paths.prefix)
  const text = existsSync(daemonJson) ? readFileSync(daemonJson, 'utf8') : ''
  const present = options.purpose === 'install' ? parseDaemonJson(text, daemonJson) : undefined
  if (options.purpose === 'install') refuseComments(text, daemonJson)
  const ownRuntime = present && findOwnRuntime(present, info, daemon)
  const notes: string[] = []
  if (socket !== undefined && info === undefined) {
    notes.push(`No Docker daemon answers at ${socket}: it will know the runtime when it starts.`)
  }
  const runtimePath = path.join(paths.libDir, 'spark-runtime')

  const told = async (isDone: (info: DaemonInfo) => boolean): Promise<'done' | 'unchanged' | 'nobody'> => {
    if (socket === undefined || info === undefined || daemon === undefined || !signalReload(daemon)) return 'nobody'
    return (await waitForInfo(socket, isDone)) ? 'done' : 'unchanged'
  }

  return {
    name: 'docker',
    daemonJson,
    dockerHost: dockerHost ?? null,
    notes,
    ownRuntime,
    tryIt: describeTrial(dockerHost, daemonJson),

    computeChanges: (nextRuntime) => [
      computeDaemonJsonChange({
        daemonJson,
        text,
        paths,
        runtimePath,
        nextRuntime,
        ownRuntime,
        asDefault: options.asDefault,
      }),
    ],

    activate: async () => {
      if (socket === undefined)
        return 'Docker was not told: under a prefix no daemon is touched but one named by --docker-host'
      if (info === undefined) return 'Docker does not run; it reads the file when it starts'
      const isThere = (seen: DaemonInfo) =>
        seen.runtimes.get(RUNTIME_NAME)?.path === runtimePath &&
        (!options.asDefault || seen.defaultRuntime === RUNTIME_NAME)
      const wanted = parseDaemonJson(readFileSync(daemonJson, 'utf8'), daemonJson).runtimes.get(RUNTIME_NAME)
      const hasIt = isThere(info) && String(info.runtimes.get(RUNTIME_NAME)?.args) === String(wanted?.runtimeArgs)
      if (hasIt) return 'Docker has the runtime already'
      if (!options.reload)
        return 'Docker was not told (--no-reload); it knows the runtime after: systemctl reload docker'
      switch (await told(isThere)) {
        case 'done':
          return `Docker has read it (process ${daemon?.identity.pid}); no container was stopped`
        case 'nobody':
          return 'which process is the daemon could not be told for sure, so none was signalled; run: systemctl reload docker'
        case 'unchanged':
          throw new ExpectedError(
            'DOCKER_RELOAD_FAILED',
            `Docker (process ${daemon?.identity.pid}) was told to read ${daemonJson} again, but does not list the runtime ${RUNTIME_NAME}`,
            { hint: [...notes, 'Its log tells why: journalctl -u docker -n 20'].join('\n') },
          )
      }
    },

    listContainersUsingUs: async () => {
      if (socket !== undefined && info !== undefined) return await listContainersOfDaemon(socket)
      const dataRoot = readDataRoot(daemonJson) ?? path.join(paths.prefix === '' ? '/' : paths.prefix, 'var/lib/docker')
      return listContainersOnDisk(dataRoot)
    },

    deactivate: async () => {
      const now = socket === undefined ? undefined : await readDaemonInfo(socket)
      if (now?.runtimes.has(RUNTIME_NAME) !== true) return 'Docker does not know the runtime any more'
      if (!options.reload)
        return 'Docker was not told (--no-reload); it forgets the runtime after: systemctl restart docker'
      const outcome = await withForgettingFile(daemonJson, now.defaultRuntime === RUNTIME_NAME, () =>
        told((seen) => !seen.runtimes.has(RUNTIME_NAME)),
      )
      if (outcome === 'done') return 'Docker has forgotten the runtime; no container was stopped'
      return 'Docker still lists the runtime until it is restarted; containers cannot use it'
    },
  }
}

const DEFAULT_HOST = 'unix:///var/run/docker.sock'

function describeTrial(dockerHost: string | undefined, daemonJson: string): string {
  if (dockerHost === undefined)
    return `start a daemon with dockerd --config-file ${daemonJson} …, then docker run --runtime spark …`
  const host = dockerHost === DEFAULT_HOST ? '' : `--host ${dockerHost} `
  return `docker ${host}run --rm --runtime spark <image>`
}

/** What Docker starts containers with when nobody names a runtime; undefined where that is us already. */
function findOwnRuntime(
  file: DaemonJson,
  info: DaemonInfo | undefined,
  daemon: DaemonProcess | undefined,
): EngineRuntime | undefined {
  const name = info?.defaultRuntime || file.defaultRuntime || 'runc'
  if (name === RUNTIME_NAME) return undefined
  const seen = info?.runtimes.get(name)
  const listed = file.runtimes.get(name)
  // A name without a path is a containerd shim (io.containerd.runc.v2), and that one runs runc.
  const program = seen?.path || listed?.path || 'runc'
  const found = resolveProgram(program, daemon?.searchPath)
  return found === undefined ? undefined : { path: found, args: seen?.args ?? listed?.runtimeArgs ?? [] }
}

interface DaemonJsonInput {
  readonly daemonJson: string
  readonly text: string
  readonly paths: HostPaths
  readonly runtimePath: string
  readonly nextRuntime: string
  readonly ownRuntime: EngineRuntime | undefined
  readonly asDefault: boolean
}

function computeDaemonJsonChange(input: DaemonJsonInput): FileChange {
  const { daemonJson, text, paths, runtimePath } = input
  const present = parseDaemonJson(text, daemonJson)
  const ours = present.runtimes.get(RUNTIME_NAME)
  const isPlan = (arg: string) => arg.startsWith('--spark-plan=')
  // spark-runtime hands every argument that is not its own on to the next runtime, which had these from Docker.
  const inherited =
    input.ownRuntime?.path === input.nextRuntime
      ? input.ownRuntime.args
      : ours?.path === runtimePath
        ? ours.runtimeArgs.filter((arg) => !isPlan(arg))
        : []
  const planArgs = paths.prefix === '' ? [] : [`--spark-plan=${paths.planFile}`]
  const edit = addRuntime(
    text,
    daemonJson,
    { path: runtimePath, runtimeArgs: [...planArgs, ...inherited] },
    { asDefault: input.asDefault },
  )
  return computeEdit({
    what: "Docker's configuration",
    path: daemonJson,
    content: edit.text,
    mode: 0o644,
    ifEdited: {
      kind: 'daemon-json',
      runtimePath,
      insertedKeys: edit.insertedKeys,
      ...(input.asDefault && present.defaultRuntime !== RUNTIME_NAME
        ? { replacedDefault: present.defaultRuntime }
        : {}),
    },
  })
}

/** Lets the daemon read a file that makes it forget us; afterwards the file is again what it was, byte for byte. */
async function withForgettingFile<T>(file: string, forgetDefault: boolean, read: () => Promise<T>): Promise<T> {
  const kept = readFileState(file)
  const text = kept?.content.toString('utf8') ?? ''
  const said = computeForgettingText(text, file, { forgetDefault })
  if (said === text) return await read()
  const state = kept ?? { mode: 0o644, uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
  const madeDirectories = makeDirectories(path.dirname(file))
  writeFileAtomically(file, { ...state, content: Buffer.from(said) })
  try {
    return await read()
  } finally {
    if (kept === undefined) removeFile(file)
    else writeFileAtomically(file, kept)
    for (const directory of madeDirectories.toReversed()) removeIfEmpty(directory)
  }
}

function readDataRoot(daemonJson: string): string | undefined {
  try {
    return parseDaemonJson(readFileSync(daemonJson, 'utf8'), daemonJson).dataRoot
  } catch {
    return undefined
  }
}

async function waitForInfo(socket: string, isDone: (info: DaemonInfo) => boolean): Promise<boolean> {
  const deadline = Date.now() + RELOAD_DEADLINE_MS
  for (;;) {
    const info = await readDaemonInfo(socket)
    if (info !== undefined && isDone(info)) return true
    if (Date.now() > deadline) return false
    await sleep(100)
  }
}
