import * as v from 'valibot'
import { EXIT_REFUSED, ExpectedError } from '../errors.js'
import { parseJson } from '../parse-json.js'
import type { EngineCli } from './engine-cli.js'

const dockerInfoSchema = v.object({
  ID: v.optional(v.string(), ''),
  Runtimes: v.optional(v.nullable(v.record(v.string(), v.unknown())), {}),
  MemTotal: v.optional(v.number(), 0),
  Architecture: v.optional(v.string(), ''),
  SecurityOptions: v.optional(v.nullable(v.array(v.string())), []),
  OperatingSystem: v.optional(v.string(), ''),
  MemoryLimit: v.optional(v.boolean(), true),
  SwapLimit: v.optional(v.boolean(), true),
  SystemTime: v.optional(v.string(), ''),
})

/** What the launcher needs to know of a Docker daemon, wherever it runs. */
export interface DockerInfo {
  readonly runtimes: readonly string[]
  /** Memory of the daemon's machine; 0 where it does not say. */
  readonly memTotalBytes: number
  /** In the kernel's words: x86_64 or aarch64. */
  readonly architecture: string
  /** The daemon's machine can limit memory by cgroup, and swap, too. */
  readonly memoryLimit: boolean
  readonly swapLimit: boolean
  /** Its clock when it answered, RFC 3339; empty where it does not say. */
  readonly systemTime: string
  /** Why a privileged container there cannot guard the host, or undefined where it can. */
  readonly sidecarObstacle: string | undefined
}

/**
 * Asks the daemon about itself.
 *
 * @throws ExpectedError `ENGINE_NO_ANSWER` with the engine's own words, exit code 125; nothing was started then.
 */
export async function readDockerInfo(cli: EngineCli): Promise<DockerInfo> {
  const answer = await cli.ask(['info', '--format', '{{json .}}'])
  const info = answer.exitCode === 0 ? parseDockerInfo(answer.stdout) : undefined
  if (info !== undefined) return info
  if (answer.exitCode === 0 && answer.stdout.includes('"buildahVersion"')) {
    throw new ExpectedError(
      'DOCKER_IS_PODMAN',
      'docker on this machine is Podman under another name, so nothing was started',
      {
        hint: 'Say so: spark-run podman run …',
        exitCode: EXIT_REFUSED,
      },
    )
  }
  const reason = answer.stderr
    .trim()
    .replace(/^(?:ERROR|errors pretty printing info)(?:: |$)/gm, '')
    .trim()
    .replaceAll('\n', '; ')
  throw new ExpectedError(
    'ENGINE_NO_ANSWER',
    `the Docker daemon did not answer, so nothing was started: ${reason === '' ? `docker info gave exit code ${answer.exitCode}` : reason}`,
    { exitCode: EXIT_REFUSED },
  )
}

/** Reads `docker info --format '{{json .}}'`; undefined where that is no such answer. */
export function parseDockerInfo(json: string): DockerInfo | undefined {
  const info = parseJson(json, dockerInfoSchema)
  // A client without its daemon answers with an empty server part.
  if (info === undefined || info.ID === '') return undefined
  const { Runtimes, MemTotal, Architecture, MemoryLimit, SwapLimit, SystemTime, SecurityOptions, OperatingSystem } =
    info
  return {
    runtimes: Object.keys(Runtimes ?? {}),
    memTotalBytes: MemTotal,
    architecture: Architecture,
    memoryLimit: MemoryLimit,
    swapLimit: SwapLimit,
    systemTime: SystemTime,
    sidecarObstacle: computeSidecarObstacle(SecurityOptions ?? [], OperatingSystem),
  }
}

function computeSidecarObstacle(securityOptions: readonly string[], operatingSystem: string): string | undefined {
  if (securityOptions.some((option) => option.includes('name=rootless'))) {
    return 'this Docker daemon runs rootless, so no container of it can see or end the processes of the host'
  }
  if (operatingSystem.startsWith('Docker Desktop')) {
    return 'this is Docker Desktop, whose containers run in a virtual machine of its own'
  }
  return undefined
}
