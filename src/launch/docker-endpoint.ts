import { readFileSync } from 'node:fs'
import path from 'node:path'
import type Dockerode from 'dockerode'
import { EXIT_REFUSED, ExpectedError } from '../errors.js'
import type { EngineCli } from './engine-cli.js'

/**
 * Connects to the very daemon that the person's docker command line talks to: dockerode alone knows DOCKER_HOST but no
 * contexts and no `-H`.
 *
 * @throws ExpectedError `ENGINE_ENDPOINT` where the endpoint is of a kind that dockerode cannot reach.
 */
export async function connectAsTheCliDoes(
  cli: EngineCli,
  environment: Readonly<NodeJS.ProcessEnv>,
): Promise<Dockerode> {
  // Of the context in force, which -H, --context and DOCKER_HOST all change.
  const answer = await cli.ask(['context', 'inspect', '--format', '{{.Endpoints.docker.Host}}'])
  const host = answer.stdout.trim()
  const { default: Docker } = await import('dockerode')
  return new Docker(computeDockerOptions(host, environment.DOCKER_CERT_PATH))
}

/** What dockerode needs for an endpoint as docker writes it: `unix://…`, `tcp://…`, `ssh://…`. */
export function computeDockerOptions(host: string, certPath?: string): Dockerode.DockerOptions {
  if (host.startsWith('unix://')) return { socketPath: host.slice('unix://'.length) }
  let url: URL
  try {
    url = new URL(host)
  } catch {
    throw unreachable(host)
  }
  if (url.protocol === 'ssh:') {
    return {
      protocol: 'ssh',
      host: url.hostname,
      port: url.port === '' ? 22 : Number(url.port),
      ...(url.username === '' ? {} : { username: url.username }),
    }
  }
  if (!['tcp:', 'http:', 'https:'].includes(url.protocol)) throw unreachable(host)
  const tls = certPath !== undefined && certPath !== ''
  const read = (file: string) => readFileSync(path.join(certPath ?? '', file))
  return {
    protocol: tls || url.protocol === 'https:' ? 'https' : 'http',
    host: url.hostname,
    port: url.port === '' ? (tls ? 2376 : 2375) : Number(url.port),
    ...(tls ? { ca: read('ca.pem'), cert: read('cert.pem'), key: read('key.pem') } : {}),
  }
}

function unreachable(host: string): ExpectedError {
  return new ExpectedError('ENGINE_ENDPOINT', `the guard's image cannot be built on the Docker daemon at "${host}"`, {
    hint: 'Install spark-run on that machine instead: spark-run install docker',
    exitCode: EXIT_REFUSED,
  })
}
