import { ExpectedError } from '../errors.js'

/** The container's variable in which a launcher tells the carrier what the person asked for. */
export const REQUEST_ENV = 'SPARK_RUN_REQUEST'

const VERSION = 'v1'
const NAME = /^[A-Za-z0-9_.-]{1,128}$/
const ID = /^[A-Za-z0-9-]{1,63}$/
/** Lowest and highest priority; the lowest dies first. */
const PRIORITY_LIMIT = 1000

/** What one launch asks for; everything optional: docs/formats.md section 4. */
export interface LaunchRequest {
  /** Names the launch in registry, events and tombstones; a uuid. */
  readonly id?: string
  readonly budgetBytes?: number
  /** May only raise the host's reserve. */
  readonly reserveBytes?: number
  /** −1000…1000, lowest dies first. */
  readonly priority?: number
  readonly name?: string
}

/**
 * Writes the value of `SPARK_RUN_REQUEST`.
 *
 * @throws ExpectedError `REQUEST_INVALID` for a field outside its range, before anything reaches an engine.
 */
export function encodeRequest(request: LaunchRequest): string {
  checkRequest(request)
  const fields = [
    ['id', request.id],
    ['budget', request.budgetBytes],
    ['reserve', request.reserveBytes],
    ['priority', request.priority],
    ['name', request.name],
  ].filter(([, value]) => value !== undefined)
  return [VERSION, ...fields.map(([key, value]) => `${key}=${value}`)].join(';')
}

/**
 * Reads the value of `SPARK_RUN_REQUEST`. Fields in any order; unknown ones are an error, since a typo must not unguard.
 *
 * @throws ExpectedError `REQUEST_INVALID` with the part that is wrong.
 */
export function parseRequest(text: string): LaunchRequest {
  const [version, ...fields] = text.split(';')
  if (version !== VERSION) fail(`begins with ${JSON.stringify(version)}, allowed: ${VERSION}`)
  const seen = new Map<string, string>()
  for (const field of fields) {
    const [, key = '', value = ''] = /^(id|budget|reserve|priority|name)=(.+)$/.exec(field) ?? []
    if (key === '') {
      fail(`has the field ${JSON.stringify(field)}, allowed: id=, budget=, reserve=, priority= and name=`)
    }
    if (seen.has(key)) fail(`has ${key} twice`)
    seen.set(key, value)
  }
  const number = (key: string, pattern: RegExp) => {
    const value = seen.get(key)
    if (value === undefined) return undefined
    if (!pattern.test(value)) fail(`has ${key}=${value}, allowed: a whole number`)
    return Number(value)
  }
  const request = withoutUndefined({
    id: seen.get('id'),
    budgetBytes: number('budget', /^\d{1,16}$/),
    reserveBytes: number('reserve', /^\d{1,16}$/),
    priority: number('priority', /^-?\d{1,4}$/),
    name: seen.get('name'),
  })
  checkRequest(request)
  return request
}

function checkRequest({ id, budgetBytes, reserveBytes, priority, name }: LaunchRequest): void {
  const isSize = (bytes: number) => Number.isSafeInteger(bytes) && bytes > 0
  if (id !== undefined && !ID.test(id)) fail(`has id=${id}, allowed: up to 63 letters, digits and -`)
  if (name !== undefined && !NAME.test(name)) fail(`has name=${name}, allowed: up to 128 letters, digits, _ . and -`)
  if (budgetBytes !== undefined && !isSize(budgetBytes)) fail(`has budget=${budgetBytes}, allowed: whole bytes above 0`)
  if (reserveBytes !== undefined && !isSize(reserveBytes)) {
    fail(`has reserve=${reserveBytes}, allowed: whole bytes above 0`)
  }
  if (priority !== undefined && !(Number.isInteger(priority) && Math.abs(priority) <= PRIORITY_LIMIT)) {
    fail(`has priority=${priority}, allowed: a whole number from -${PRIORITY_LIMIT} to ${PRIORITY_LIMIT}`)
  }
}

function fail(problem: string): never {
  throw new ExpectedError('REQUEST_INVALID', `${REQUEST_ENV} ${problem}`)
}

type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

function withoutUndefined<T extends object>(value: T): Present<T> {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as Present<T>
}
