import { setTimeout as sleep } from 'node:timers/promises'
import type { Sidecar } from '../guard/sidecar.js'
import type { Grant } from '../plan/flags.js'
import type { DockerLaunch } from './carrier.js'

/** Marks the containers of one launch, so that the engine's events can be asked for it. */
export const REQUEST_LABEL = 'io.spark-run.request'

/** How long after the end of the engine's command its start event may still be on its way. */
const LATE_EVENT_MS = 3_000

export interface Registration {
  readonly launch: DockerLaunch
  readonly sidecar: Sidecar
  readonly grant: Grant
  readonly planFile: string
}

export interface FollowedStarts {
  /** To be called when the engine's command has ended: the last registration is waited for, a dead container taken out. */
  finish(): Promise<void>
}

/**
 * Registers the container with the guard each time it starts, for as long as this launch lasts. Between the start and the
 * registration, some hundred milliseconds, the guard does not know it; a restart after this launch has ended it does not see.
 */
export function followStarts(registration: Registration): FollowedStarts {
  const { launch } = registration
  let containerId: string | undefined
  let work: Promise<void> = Promise.resolve()
  const following = launch.cli.follow(
    [
      'events',
      // By the daemon's own clock, so that a start before this question was heard is told, too.
      ...(launch.info.systemTime === '' ? [] : ['--since', launch.info.systemTime]),
      ...['--filter', 'event=start', '--filter', `label=${REQUEST_LABEL}=${launch.requestId}`, '--format', '{{.ID}}'],
    ],
    (id) => {
      containerId = id
      work = work.then(() => register(registration, id))
    },
  )
  return {
    async finish() {
      // A command that was refused, or a container that never started, has no event to wait for.
      if (containerId === undefined && (await findContainer(launch)) !== undefined) {
        const deadline = Date.now() + LATE_EVENT_MS
        while (containerId === undefined && Date.now() < deadline) await sleep(50)
      }
      following.stop()
      await work
      // The guard itself forgets a dead container. Its ledger goes only with the container, which docker start needs it for.
      const isGone = containerId === undefined || (await inspectPid(launch, containerId)) === undefined
      if (isGone) await releaseGrant(registration)
    },
  }
}

/** Gives back what admission granted to a container that is not, or will not be: its budget and its ledger. */
export async function releaseGrant(registration: Registration): Promise<void> {
  await callHook(registration, 'poststop', registration.grant.id, { pid: 0, name: '' })
}

async function register(registration: Registration, id: string): Promise<void> {
  const state = await inspectPid(registration.launch, id)
  // It has ended already, so there is nothing left to guard.
  if (state === undefined || state.pid === 0) return
  const answer = await callHook(registration, 'createRuntime', id, state)
  if (answer.exitCode === 0) return
  const after = await inspectPid(registration.launch, id)
  if (after === undefined || after.pid === 0) return
  const words = answer.stderr.trim().split('\n').at(-1) ?? ''
  registration.launch.say(`the guard does not know this container, which still has its budget: ${words}`)
}

/** Calls an OCI hook as a runtime would: the state of the container on stdin, with our annotations (formats.md section 5). */
function callHook(
  { sidecar, grant, launch, planFile }: Registration,
  hook: 'createRuntime' | 'poststop',
  id: string,
  { pid, name }: { readonly pid: number; readonly name: string },
) {
  const state = {
    ociVersion: '1.0.2',
    id,
    status: hook === 'createRuntime' ? 'created' : 'stopped',
    ...(pid === 0 ? {} : { pid }),
    bundle: '',
    annotations: {
      'io.spark-run.applied': String(sidecar.plan.planVersion),
      'io.spark-run.budget-bytes': String(grant.budgetBytes),
      'io.spark-run.reserve-bytes': String(grant.reserveBytes),
      'io.spark-run.priority': String(grant.priority),
      'io.spark-run.ledger': grant.ledger,
      'io.spark-run.request': launch.requestId,
      'io.spark-run.engine': launch.cli.engine,
      ...(name === '' ? {} : { 'io.spark-run.name': name }),
    },
  }
  return sidecar.hook([hook, '--plan', planFile], JSON.stringify(state))
}

async function inspectPid(launch: DockerLaunch, id: string): Promise<{ pid: number; name: string } | undefined> {
  const answer = await launch.cli.ask(['container', 'inspect', '--format', '{{.State.Pid}} {{.Name}}', id])
  if (answer.exitCode !== 0) return undefined
  const [pid = '0', name = ''] = answer.stdout.trim().split(' ')
  return { pid: Number(pid), name: name.replace(/^\//, '') }
}

/** The running container of this launch, whose start event may not have come yet. */
async function findContainer(launch: DockerLaunch): Promise<string | undefined> {
  const answer = await launch.cli.ask([
    'ps',
    '--quiet',
    '--no-trunc',
    '--filter',
    `label=${REQUEST_LABEL}=${launch.requestId}`,
  ])
  return answer.exitCode === 0 ? answer.stdout.trim().split('\n')[0] || undefined : undefined
}
