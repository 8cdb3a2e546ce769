import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type Dockerode from 'dockerode'
import * as v from 'valibot'
import { ExpectedError } from '../../errors.js'
import { RUNTIME_NAME } from './daemon-json.js'

const ANSWER_DEADLINE_MS = 10_000

const infoSchema = v.object({
  Runtimes: v.optional(
    v.nullable(
      v.record(v.string(), v.object({ path: v.optional(v.string()), runtimeArgs: v.nullish(v.array(v.string())) })),
    ),
  ),
  DefaultRuntime: v.optional(v.string(), ''),
  DockerRootDir: v.optional(v.string(), ''),
  OperatingSystem: v.optional(v.string(), ''),
  SecurityOptions: v.optional(v.nullable(v.array(v.string()))),
})

/** What a running daemon says about itself. */
export interface DaemonInfo {
  readonly defaultRuntime: string
  /** Path of each runtime; undefined where it is a containerd shim. */
  readonly runtimes: ReadonlyMap<string, { path: string | undefined; args: readonly string[] }>
  readonly rootDir: string
  readonly operatingSystem: string
  readonly securityOptions: readonly string[]
}

/**
 * Asks the daemon behind a unix socket about itself.
 *
 * @returns undefined when no daemon answers there.
 * @throws ExpectedError `DOCKER_NO_ANSWER` when something is there but does not answer as a Docker daemon.
 */
export async function readDaemonInfo(socketPath: string): Promise<DaemonInfo | undefined> {
  const docker = await connect(socketPath)
  let answer: unknown
  try {
    answer = await docker.info()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return undefined
    throw new ExpectedError('DOCKER_NO_ANSWER', `the Docker daemon at ${socketPath} does not answer: ${message}`, {
      cause: error,
    })
  }
  const info = v.parse(infoSchema, answer)
  const runtimes = Object.entries(info.Runtimes ?? {})
  return {
    defaultRuntime: info.DefaultRuntime,
    runtimes: new Map(runtimes.map(([name, { path, runtimeArgs }]) => [name, { path, args: runtimeArgs ?? [] }])),
    rootDir: info.DockerRootDir,
    operatingSystem: info.OperatingSystem,
    securityOptions: info.SecurityOptions ?? [],
  }
}

/** Names of all containers, running or not, that were created with our runtime. */
export async function listContainersOfDaemon(socketPath: string): Promise<string[]> {
  const docker = await connect(socketPath)
  const names: string[] = []
  for (const { Id } of await docker.listContainers({ all: true })) {
    const container = await docker.getContainer(Id).inspect().catch(ignoreGone)
    if (container?.HostConfig.Runtime === RUNTIME_NAME) names.push(container.Name.replace(/^\//, ''))
  }
  return names
}

/** The same from the files of a daemon that does not run; a directory that is not there holds no containers. */
export function listContainersOnDisk(dataRoot: string): string[] {
  const containers = path.join(dataRoot, 'containers')
  return listDirectory(containers).flatMap((id) => {
    const host = readJson(path.join(containers, id, 'hostconfig.json'))
    if (host?.Runtime !== RUNTIME_NAME) return []
    const name = readJson(path.join(containers, id, 'config.v2.json'))?.Name
    return [typeof name === 'string' ? name.replace(/^\//, '') : id.slice(0, 12)]
  })
}

async function connect(socketPath: string): Promise<Dockerode> {
  const { default: Docker } = await import('dockerode')
  return new Docker({ socketPath, timeout: ANSWER_DEADLINE_MS })
}

function ignoreGone(error: { statusCode?: number }): undefined {
  if (error.statusCode !== 404) throw error
}

function listDirectory(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function readJson(file: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}
