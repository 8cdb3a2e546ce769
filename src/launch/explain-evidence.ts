import { rm } from 'node:fs/promises'
import path from 'node:path'
import * as v from 'valibot'
import { type GuardEvent, readEvents } from '../guard/events.js'
import { readLiveRegistry } from '../guard/registry.js'
import { findSidecar } from '../guard/sidecar.js'
import { newestFirst, readTombstones, type Tombstone } from '../guard/tombstones.js'
import type { HostPaths } from '../host/paths.js'
import { parseJson } from '../parse-json.js'
import { parseRequest, REQUEST_ENV } from '../plan/request.js'
import { createEngineCli, type EngineCli } from './engine-cli.js'
import { computeVerdict, type Evidence, type InspectedContainer } from './explain-verdict.js'
import { REQUEST_LABEL } from './sidecar-registration.js'

const ENGINE_TIMEOUT_MS = 5_000
/** What engines print for a moment that never was. */
const NEVER = /^0001-/

const inspectSchema = v.object({
  Id: v.string(),
  Name: v.string(),
  State: v.object({
    Status: v.optional(v.string(), ''),
    Running: v.optional(v.boolean(), false),
    ExitCode: v.optional(v.number(), 0),
    OOMKilled: v.optional(v.boolean(), false),
    Error: v.optional(v.string(), ''),
    StartedAt: v.optional(v.string(), ''),
    FinishedAt: v.optional(v.string(), ''),
  }),
  Config: v.optional(
    v.object({
      Env: v.optional(v.nullable(v.array(v.string())), []),
      Labels: v.optional(v.nullable(v.record(v.string(), v.string())), {}),
    }),
    {},
  ),
  HostConfig: v.optional(v.object({ Memory: v.optional(v.number(), 0) }), {}),
})

/**
 * Collects what this host, its engines and their guards know about a container. An engine that is not there or does not
 * answer knows nothing.
 */
export async function readEvidence(
  who: string,
  paths: HostPaths,
  environment: Readonly<NodeJS.ProcessEnv> = process.env,
): Promise<Evidence> {
  const docker = createEngineCli('docker', [], environment)
  const [tombstones, events, registry, sidecar, ofDocker] = await Promise.all([
    readTombstones(paths.tombstoneDir),
    readEvents(paths.eventsFile),
    readLiveRegistry(paths.registryDir),
    readSidecarRecords(docker, paths),
    askEngine(docker, who),
  ])
  const evidence = {
    tombstones: newestFirst([...tombstones, ...sidecar.tombstones]),
    events: [...events, ...sidecar.events].sort((a, b) => a.time.localeCompare(b.time)),
    registry,
    ...ofDocker,
  }
  const { kind } = computeVerdict(who, evidence)
  if (kind !== 'unknown' && kind !== 'gone') return evidence
  // Asked last, because Podman makes itself a storage for everybody who asks it for the first time.
  const ofPodman = await askEngine(createEngineCli('podman', [], environment), who)
  return { ...evidence, ...ofPodman, knownNames: [...ofDocker.knownNames, ...ofPodman.knownNames] }
}

async function askEngine(cli: EngineCli, who: string): Promise<Pick<Evidence, 'inspected' | 'knownNames'>> {
  const [inspected, knownNames] = await Promise.all([inspectContainer(cli, who), listNames(cli)])
  return { inspected, knownNames }
}

/** Where the guard is a container, its records may lie on another host, or be root's alone. */
async function readSidecarRecords(
  cli: EngineCli,
  paths: HostPaths,
): Promise<{ tombstones: readonly Tombstone[]; events: readonly GuardEvent[] }> {
  const none = { tombstones: [], events: [] }
  try {
    const sidecar = await findSidecar(cli, paths)
    if (sidecar === undefined) return none
    const log = await sidecar.copyOut(paths.eventsFile)
    const events = log === undefined ? [] : await readEvents(log)
    if (log !== undefined) await rm(path.dirname(log), { recursive: true, force: true })
    return { tombstones: await sidecar.readTombstones(), events }
  } catch {
    return none
  }
}

async function inspectContainer(cli: EngineCli, who: string): Promise<InspectedContainer | undefined> {
  // A name that looks like an option would be one.
  if (who.startsWith('-')) return undefined
  const answer = await cli.ask(['container', 'inspect', '--format', '{{json .}}', who], {
    timeoutMs: ENGINE_TIMEOUT_MS,
  })
  return answer.exitCode === 0 ? parseInspect(answer.stdout, cli.engine) : undefined
}

/** Reads `container inspect --format '{{json .}}'` of Docker or Podman. */
export function parseInspect(json: string, engine: string): InspectedContainer | undefined {
  const container = parseJson(json, inspectSchema)
  if (container === undefined) return undefined
  const { Id, Name, State, Config, HostConfig } = container
  return {
    id: Id,
    name: Name.replace(/^\//, ''),
    engine,
    status: State.Status,
    running: State.Running,
    exitCode: State.ExitCode,
    oomKilled: State.OOMKilled,
    error: State.Error,
    startedAt: NEVER.test(State.StartedAt) ? '' : State.StartedAt,
    finishedAt: NEVER.test(State.FinishedAt) ? '' : State.FinishedAt,
    request: Config?.Labels?.[REQUEST_LABEL] ?? requestIdOf(Config?.Env ?? []),
    memoryLimitBytes: HostConfig?.Memory ?? 0,
  }
}

function requestIdOf(env: readonly string[]): string | undefined {
  const assignment = env.find((text) => text.startsWith(`${REQUEST_ENV}=`))
  if (assignment === undefined) return undefined
  try {
    return parseRequest(assignment.slice(REQUEST_ENV.length + 1)).id
  } catch {
    return undefined
  }
}

async function listNames(cli: EngineCli): Promise<string[]> {
  const answer = await cli.ask(['ps', '--all', '--format', '{{.Names}}'], { timeoutMs: ENGINE_TIMEOUT_MS })
  return answer.exitCode === 0 ? answer.stdout.split('\n').filter((name) => name !== '') : []
}
