import type { Plan } from '../plan/plan.js'
import { encodeRequest, type LaunchRequest, REQUEST_ENV } from '../plan/request.js'
import { formatBytes, parseSize } from '../plan/size.js'
import type { ContainerLaunch } from './carrier.js'

/** The machine that shares are taken of; the daemon's, which need not be this one. */
export interface RequestGround {
  readonly memTotalBytes: number
  readonly reserveBytes?: number
  readonly withholdBytes?: number
}

/** What the person asked of spark-run, with every size in bytes, and as the container's variable that carries it. */
export interface EncodedRequest {
  readonly request: LaunchRequest
  readonly text: string
  readonly envArgs: readonly [string, string]
}

const CONTAINER_NAME = /^[A-Za-z0-9_.-]{1,128}$/

/** What shares are checked against before the machine is known. */
const ANY_MACHINE_BYTES = 1024 ** 4

/**
 * Checks the sizes that the person wrote, before any engine is asked anything.
 *
 * @throws ExpectedError `SIZE_SYNTAX`, as {@link computeRequest} would.
 */
export function checkSizes({ budget, reserve }: ContainerLaunch['invocation']['options']): void {
  if (budget !== undefined) parseSize(budget, sizeOptions('--budget', ANY_MACHINE_BYTES))
  if (reserve !== undefined) parseSize(reserve, sizeOptions('--reserve', ANY_MACHINE_BYTES))
}

/**
 * Turns our options into a request.
 *
 * @throws ExpectedError `SIZE_SYNTAX` for a budget or a reserve that is no size.
 */
export function computeRequest(launch: ContainerLaunch, ground: RequestGround): EncodedRequest {
  const { budget, reserve, priority } = launch.invocation.options
  const machineBytes = Math.max(0, ground.memTotalBytes - (ground.withholdBytes ?? 0))
  const name = launch.scan.name?.replace(/^\//, '')
  const request: LaunchRequest = {
    id: launch.requestId,
    ...(budget === undefined
      ? {}
      : { budgetBytes: parseSize(budget, sizeOptions('--budget', machineBytes - (ground.reserveBytes ?? 0))) }),
    ...(reserve === undefined ? {} : { reserveBytes: parseSize(reserve, sizeOptions('--reserve', machineBytes)) }),
    ...(priority === undefined ? {} : { priority }),
    ...(name !== undefined && CONTAINER_NAME.test(name) ? { name } : {}),
  }
  const text = encodeRequest(request)
  return { request, text, envArgs: ['-e', `${REQUEST_ENV}=${text}`] }
}

/** The request in words, for `--dry-run`. */
export function describeRequest({ request }: EncodedRequest, plan: Plan | undefined): string[] {
  const { budgetBytes, reserveBytes, priority = 0 } = request
  return [
    `budget: ${budgetBytes === undefined ? describeDefaultBudget(plan) : formatBytes(budgetBytes)}`,
    `reserve of the host: ${describeReserve(reserveBytes, plan)}`,
    `priority: ${priority}`,
  ]
}

function describeDefaultBudget(plan: Plan | undefined): string {
  const bytes = plan?.budget.defaultBytes
  return bytes === undefined || bytes === null
    ? 'what the reserve and the other containers leave, decided when it starts'
    : `${formatBytes(bytes)}, the default of the policy`
}

function describeReserve(reserveBytes: number | undefined, plan: Plan | undefined): string {
  const host = plan === undefined ? 'as the policy there says' : formatBytes(plan.host.reserveBytes)
  return reserveBytes === undefined
    ? host
    : `at least ${formatBytes(reserveBytes)} while this container lives (${host} without it)`
}

function sizeOptions(what: string, percentOfBytes: number) {
  return { what, percentOfBytes: Math.max(0, percentOfBytes) }
}
