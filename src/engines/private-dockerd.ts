import { spawn } from 'node:child_process'
import {
  accessSync,
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import { ExpectedError } from '../errors.js'
import { endProcessByIdentity, isRunning, type ProcessIdentity, readProcessIdentity } from '../host/process-identity.js'
import { computeMissingForDockerd, findProgram, readDockerdGround } from './private-dockerd-needs.js'
import { clearFixedPlaces, rememberFixedPlaces, removeShimSockets } from './private-dockerd-places.js'
import { endProcessesNaming, removeContainerCgroups, unmountUnder } from './private-dockerd-sweep.js'

/** A Docker daemon of our own: its socket, its files, and the ways to talk to it and to end it. */
export interface PrivateDockerd {
  socket: string
  /** `unix://…`, as DOCKER_HOST wants it. */
  host: string
  configFile: string
  dataRoot: string
  execRoot: string
  /** Where the daemon and its containerd put temporary files. */
  temporaryDir: string
  pidFile: string
  pid: number
  /** The daemon's own log. */
  logFile: string
  /** What a docker client must have in its environment to reach this daemon and no other. */
  env: { DOCKER_HOST: string; DOCKER_CONFIG: string }
  docker(): Promise<Dockerode>
  /** Makes the daemon read its configuration file again (SIGHUP). */
  reload(): void
  /** Ends containers and daemon, unmounts, removes every file. Safe to call twice. */
  stop(): Promise<void>
}

export interface PrivateDockerdOptions {
  /** An empty or missing directory to use, removed by `stop()`; default: a new one in a temporary directory on disk. */
  dir?: string
  /** Entries of `runtimes` in the daemon's configuration. */
  runtimes?: Record<string, { path: string; runtimeArgs?: string[] }>
  /** Further keys of the daemon's configuration. */
  extraConfig?: Record<string, unknown>
  log?: (line: string) => void
}

/** Longest path of a unix socket (`sun_path` of unix(7) less its NUL). */
const SOCKET_PATH_MAX_BYTES = 107

/** The longest of the sockets that dockerd and its containerd make under our directory. */
const LONGEST_SOCKET = 'exec/containerd/containerd.sock.ttrpc'

const READY_DEADLINE_MS = 30_000

/** Longer than dockerd's own patience with its containers, which we set below. */
const STOP_PATIENCE_MS = 15_000

/** f_type of tmpfs and ramfs in statfs(2): a data root there would be memory, which is what is scarce. */
const MEMORY_FILESYSTEMS = new Set([0x01021994, 0x858458f6])

/** Where the daemon of `dir` keeps what. */
export function computeDockerdLayout(dir: string) {
  return {
    socket: path.join(dir, 'docker.sock'),
    configFile: path.join(dir, 'daemon.json'),
    dataRoot: path.join(dir, 'data'),
    execRoot: path.join(dir, 'exec'),
    pidFile: path.join(dir, 'docker.pid'),
    logFile: path.join(dir, 'dockerd.log'),
    clientConfig: path.join(dir, 'client'),
    temporaryDir: path.join(dir, 'tmp'),
  }
}

/** True when every socket below `dir` has a path that the kernel takes. */
export function fitsSocketPath(dir: string): boolean {
  return Buffer.byteLength(path.join(dir, LONGEST_SOCKET)) <= SOCKET_PATH_MAX_BYTES
}

/** dockerd's arguments. What `spark-run install` edits (the runtimes) stays in the configuration file. */
export function computeDockerdArguments(
  layout: ReturnType<typeof computeDockerdLayout>,
  storageDriver?: string,
): string[] {
  return [
    ...['--config-file', layout.configFile],
    ...['--data-root', layout.dataRoot],
    ...['--exec-root', layout.execRoot],
    ...['--host', `unix://${layout.socket}`],
    ...['--pidfile', layout.pidFile],
    ...['--shutdown-timeout', '5'],
    // The host's firewall and network are not ours to change.
    ...['--iptables=false', '--bridge=none'],
    ...(storageDriver === undefined ? [] : ['--storage-driver', storageDriver]),
  ]
}

/**
 * A new directory for a daemon's: on disk where there is a choice, with a path short enough for the sockets below `<it>/d`.
 *
 * @throws ExpectedError `NO_TEMPORARY_DIRECTORY` where none of the usual places can be written.
 */
export function makeShortTemporaryDir(name = 'spark-'): string {
  const places = [os.tmpdir(), '/var/tmp', '/tmp']
  const writable = places.filter(isWritable)
  const short = writable.filter((base) => fitsSocketPath(path.join(base, `${name}XXXXXX/d`)))
  const base = short.find((candidate) => !isInMemory(candidate)) ?? short[0] ?? writable[0]
  if (base === undefined) {
    throw new ExpectedError(
      'NO_TEMPORARY_DIRECTORY',
      `no temporary directory can be written: tried ${places.join(', ')}`,
      {
        hint: 'Name one that can, in the variable TMPDIR.',
      },
    )
  }
  return mkdtempSync(path.join(base, name))
}

function isWritable(dir: string): boolean {
  try {
    accessSync(dir, constants.W_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}

function isInMemory(dir: string): boolean {
  return MEMORY_FILESYSTEMS.has(statfsSync(dir).type)
}

function prepareDir(dir: string): string {
  if (!fitsSocketPath(dir)) {
    throw new ExpectedError(
      'PATH_TOO_LONG',
      `${dir} is too long a path for a Docker daemon: its sockets there would have more than ${SOCKET_PATH_MAX_BYTES} bytes`,
      { hint: 'Name a shorter directory, for example one under /tmp.' },
    )
  }
  mkdirSync(dir, { recursive: true, mode: 0o711 })
  if (readdirSync(dir).length > 0) {
    throw new ExpectedError(
      'DIRECTORY_NOT_EMPTY',
      `${dir} is not empty, and a private Docker daemon removes its directory at the end`,
      {
        hint: 'Name a new or empty directory.',
      },
    )
  }
  return dir
}

function ping(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = http.get({ socketPath, path: '/_ping', timeout: 2_000 }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    request.on('error', () => resolve(false))
    request.on('timeout', () => request.destroy())
  })
}

function lastLines(file: string, count: number): string[] {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-count)
  } catch {
    return []
  }
}

/** The messages among dockerd's log lines that tell why it gave up. */
export function pickReason(lines: string[]): string {
  const plain = lines.map((line) => /msg="((?:[^"\\]|\\.)*)"/.exec(line)?.[1]?.replaceAll('\\"', '"') ?? line)
  return (
    plain.findLast((line) => /fail|error|denied|not permitted|cannot/i.test(line)) ?? plain.at(-1) ?? 'it wrote nothing'
  )
}

function launch(layout: ReturnType<typeof computeDockerdLayout>, storageDriver: string | undefined): ProcessIdentity {
  const logFd = openSync(layout.logFile, 'a', 0o600)
  const dockerd = findProgram('dockerd') ?? 'dockerd'
  const setpriv = findProgram('setpriv')
  const args = computeDockerdArguments(layout, storageDriver)
  // setpriv: should we die without a chance to clean up, the kernel ends the daemon for us, and the daemon its containers.
  const command = setpriv === undefined ? [dockerd, ...args] : [setpriv, '--pdeathsig', 'TERM', dockerd, ...args]
  const child = spawn(command[0] as string, command.slice(1), {
    // A session of its own: Ctrl-C in the terminal is ours to answer, in order.
    detached: true,
    stdio: ['ignore', logFd, logFd],
    env: {
      ...process.env,
      // dockerd finds containerd and runc by PATH.
      PATH: `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
      DOCKER_RAMDISK: undefined,
      // containerd writes its stacks there when dockerd finds it slow and asks for them; they go with the rest.
      TMPDIR: layout.temporaryDir,
      NOTIFY_SOCKET: undefined,
    },
  })
  closeSync(logFd)
  // Without a listener a program that cannot be started at all would end us; the missing process tells the same.
  child.on('error', () => {})
  child.unref()
  return readProcessIdentity(child.pid ?? 0) ?? { pid: child.pid ?? 0, startTicks: 0 }
}

async function waitUntilReady(socket: string, daemon: ProcessIdentity): Promise<boolean> {
  const deadline = Date.now() + READY_DEADLINE_MS
  while (Date.now() < deadline && isRunning(daemon)) {
    if (await ping(socket)) return true
    await sleep(50)
  }
  return false
}

/**
 * Starts a Docker daemon that shares nothing with the machine's own: socket, data, containerd, network and configuration
 * all lie in one directory, which goes again with `stop()`.
 *
 * @throws ExpectedError `DOCKERD_IMPOSSIBLE` with what this machine lacks, or `DOCKERD_FAILED` with the daemon's last words.
 */
export async function startPrivateDockerd(options: PrivateDockerdOptions = {}): Promise<PrivateDockerd> {
  const log = options.log ?? (() => {})
  const missing = computeMissingForDockerd(readDockerdGround())
  if (missing.length > 0) {
    throw new ExpectedError('DOCKERD_IMPOSSIBLE', `a private Docker daemon cannot start here: ${missing.join('; ')}`)
  }
  const dir = options.dir === undefined ? makeShortTemporaryDir() : prepareDir(options.dir)
  const layout = computeDockerdLayout(dir)
  for (const own of [layout.clientConfig, layout.temporaryDir]) mkdirSync(own, { mode: 0o700 })
  const config = { ...(options.runtimes === undefined ? {} : { runtimes: options.runtimes }), ...options.extraConfig }
  writeFileSync(layout.configFile, `${JSON.stringify(config, null, 2)}\n`)

  try {
    rememberFixedPlaces(dir)
  } catch (error) {
    log(`what the daemon makes outside of ${dir} will stay: ${String(error)}`)
  }
  let daemon = launch(layout, undefined)
  let stopping: Promise<void> | undefined
  const stop = () => {
    stopping ??= endDaemon(dir, layout.socket, daemon, log)
    return stopping
  }
  let ready = await waitUntilReady(layout.socket, daemon)
  if (
    !ready &&
    !isRunning(daemon) &&
    lastLines(layout.logFile, 20).some((line) => /graphdriver|storage-driver/.test(line))
  ) {
    log('dockerd found no storage driver that works here by itself; trying vfs')
    daemon = launch(layout, 'vfs')
    ready = await waitUntilReady(layout.socket, daemon)
  }
  if (!ready) {
    const lines = lastLines(layout.logFile, 8)
    const how = !isRunning(daemon) ? 'ended at once' : `did not answer within ${READY_DEADLINE_MS / 1000} s`
    await stop()
    throw new ExpectedError('DOCKERD_FAILED', `the private Docker daemon ${how}: ${pickReason(lines)}`, {
      hint: `Its last lines:\n${lines.map((line) => `  ${line}`).join('\n')}`,
    })
  }
  log(`dockerd runs as process ${daemon.pid} in ${dir}`)
  return {
    ...layout,
    host: `unix://${layout.socket}`,
    pid: daemon.pid,
    env: { DOCKER_HOST: `unix://${layout.socket}`, DOCKER_CONFIG: layout.clientConfig },
    docker: async () => {
      const { default: Docker } = await import('dockerode')
      return new Docker({ socketPath: layout.socket })
    },
    reload: () => {
      process.kill(daemon.pid, 'SIGHUP')
    },
    stop,
  }
}

/** Removes all containers through the API, so that the daemon has none to wait for. */
async function removeContainers(socketPath: string): Promise<void> {
  const { default: Docker } = await import('dockerode')
  const docker = new Docker({ socketPath, timeout: 10_000 })
  const containers = await docker.listContainers({ all: true })
  await Promise.allSettled(containers.map((entry) => docker.getContainer(entry.Id).remove({ force: true, v: true })))
}

async function endDaemon(
  dir: string,
  socket: string,
  daemon: ProcessIdentity,
  log: (line: string) => void,
): Promise<void> {
  if (isRunning(daemon)) {
    await removeContainers(socket).catch((error: unknown) =>
      log(`containers not removed by the daemon: ${String(error)}`),
    )
    await endProcessByIdentity(daemon, STOP_PATIENCE_MS)
  }
  await sweepDockerd(dir, log)
  log(`dockerd and ${dir} are gone`)
}

/**
 * Removes what lies in the directory of a daemon that has ended, and what it left outside when it had to be killed:
 * containerd, shims, their sockets, containers, their cgroups, mounts, and the places that it makes wherever it is told to live.
 */
export async function sweepDockerd(dir: string, log: (line: string) => void = () => {}): Promise<void> {
  await endProcessesNaming(dir)
  const layout = computeDockerdLayout(dir)
  removeContainerCgroups(layout.dataRoot)
  removeShimSockets(layout)
  for (const mountPoint of unmountUnder(dir)) log(`could not unmount ${mountPoint}`)
  try {
    clearFixedPlaces(dir)
  } catch (error) {
    log(`could not clear what the daemon made outside of ${dir}: ${String(error)}`)
  }
  rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
}
