import type { UserMemory } from '../plan/user-memory.js'

/** Which flags of `run` and `create` take a value, as the engine's own help tells it. */
export interface RunFlagTable {
  /** Long name → takes the next argument as its value. */
  readonly long: ReadonlyMap<string, boolean>
  /** Short name → long name. */
  readonly short: ReadonlyMap<string, string>
}

/** What spark-run reads from the flags of a `run` or `create`. It reads, and never rewrites. */
export interface RunScan {
  /** True where every flag up to the image was understood; otherwise the findings hold up to the first doubt only. */
  readonly complete: boolean
  readonly help: boolean
  readonly image: string | undefined
  /** `--runtime`, the last one as the engine takes it. */
  readonly runtime: string | undefined
  /** Indices of all arguments that `--runtime` and its value take up. */
  readonly runtimeAt: readonly number[]
  readonly name: string | undefined
  readonly memory: UserMemory
  readonly platform: string | undefined
  /** `-e` values as given: `NAME=value`, or `NAME` to take it from the caller's environment. */
  readonly env: readonly string[]
  readonly envFiles: readonly string[]
  /** Container paths of `-v` and `--mount`, where they could be read. */
  readonly mountTargets: readonly string[]
  readonly privileged: boolean
  readonly detach: boolean
  readonly remove: boolean
  readonly interactive: boolean
}

/** What is known of a command line whose flags cannot be read. */
export const NOTHING_SCANNED: RunScan = {
  complete: false,
  help: false,
  image: undefined,
  runtime: undefined,
  runtimeAt: [],
  name: undefined,
  memory: {},
  platform: undefined,
  env: [],
  envFiles: [],
  mountTargets: [],
  privileged: false,
  detach: false,
  remove: false,
  interactive: false,
}

// Accepted by docker but hidden from its help (docker/cli cli/command/container/opts.go).
const HIDDEN_WITH_VALUE = ['net', 'net-alias', 'dns-opt', 'kernel-memory']
// A help text without these is none that we understand.
const EXPECTED = ['env', 'name', 'rm', 'volume']

/**
 * Reads the flag table from the text of `docker run --help` or `podman run --help`: a word after the flag's name is
 * the type of its value, its absence means a switch.
 *
 * @returns undefined where the text is not such a help.
 */
export function parseRunHelp(help: string): RunFlagTable | undefined {
  const long = new Map<string, boolean>()
  const short = new Map<string, string>()
  for (const line of help.split('\n')) {
    const match = /^ {2,6}(?:-(\w), )?--([a-z0-9][a-z0-9-]*)(?: (\S.*?))?(?: {2,}|$)/.exec(line)
    const [, letter, name, type] = match ?? []
    if (name === undefined) continue
    // `string[="x"]` is pflag's mark for a value that may only follow an equals sign.
    long.set(name, type !== undefined && !type.includes('[='))
    if (letter !== undefined) short.set(letter, name)
  }
  if (EXPECTED.some((name) => !long.has(name))) return undefined
  for (const name of HIDDEN_WITH_VALUE) if (!long.has(name)) long.set(name, true)
  return { long, short }
}

/** Scans the arguments after `run` or `create` up to the image, by the rules of pflag without interspersed flags. */
export function scanRunArgs(args: readonly string[], table: RunFlagTable): RunScan {
  const found: [name: string, value: string][] = []
  const runtimeAt: number[] = []
  let at = 0
  let complete = true
  while (at < args.length) {
    const argument = args[at] ?? ''
    if (argument === '--') {
      at++
      break
    }
    if (!argument.startsWith('-') || argument === '-') break
    const flags = argument.startsWith('--')
      ? readLong(argument, args[at + 1], table)
      : readShort(argument, args[at + 1], table)
    if (flags === undefined) {
      complete = false
      break
    }
    found.push(...flags.found)
    // It has no short form, so it never shares an argument with another flag.
    if (flags.found[0]?.[0] === 'runtime') runtimeAt.push(...(flags.width === 1 ? [at] : [at, at + 1]))
    at += flags.width
  }
  const image = complete ? args[at] : undefined
  const last = (name: string) => found.findLast(([flag]) => flag === name)?.[1]
  const all = (name: string) => found.filter(([flag]) => flag === name).map(([, value]) => value)
  const on = (name: string) => isTrue(last(name))
  return {
    complete,
    help: on('help'),
    image,
    runtime: last('runtime'),
    runtimeAt,
    name: last('name'),
    memory: { memory: last('memory'), memorySwap: last('memory-swap') },
    platform: last('platform'),
    env: all('env'),
    envFiles: all('env-file'),
    mountTargets: [...all('volume').map(volumeTarget), ...all('mount').map(mountTarget)].filter((t) => t !== undefined),
    privileged: on('privileged'),
    detach: on('detach'),
    remove: on('rm'),
    interactive: on('interactive'),
  }
}

interface ReadFlags {
  readonly found: [name: string, value: string][]
  readonly width: 1 | 2
}

function readLong(argument: string, next: string | undefined, table: RunFlagTable): ReadFlags | undefined {
  const equals = argument.indexOf('=')
  const name = argument.slice(2, equals < 0 ? undefined : equals)
  const takesValue = table.long.get(name)
  if (takesValue === undefined) return undefined
  if (equals >= 0) return { found: [[name, argument.slice(equals + 1)]], width: 1 }
  if (!takesValue) return { found: [[name, 'true']], width: 1 }
  return next === undefined ? undefined : { found: [[name, next]], width: 2 }
}

/** `-itv /a:/b`, `-p=80:80`, `-p80:80`: switches, then at most one flag with a value. */
function readShort(argument: string, next: string | undefined, table: RunFlagTable): ReadFlags | undefined {
  const found: [string, string][] = []
  for (let letter = 1; letter < argument.length; letter++) {
    const name = table.short.get(argument[letter] ?? '')
    const takesValue = name === undefined ? undefined : table.long.get(name)
    if (name === undefined || takesValue === undefined) return undefined
    const rest = argument.slice(letter + 1)
    if (rest.startsWith('=')) return { found: [...found, [name, rest.slice(1)]], width: 1 }
    if (!takesValue) {
      found.push([name, 'true'])
      continue
    }
    if (rest !== '') return { found: [...found, [name, rest]], width: 1 }
    return next === undefined ? undefined : { found: [...found, [name, next]], width: 2 }
  }
  return { found, width: 1 }
}

/** Go's strconv.ParseBool, which pflag uses. */
function isTrue(value: string | undefined): boolean {
  return value !== undefined && ['1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)
}

function volumeTarget(volume: string): string | undefined {
  const parts = volume.split(':')
  return parts.length === 1 ? parts[0] : parts[1]
}

function mountTarget(mount: string): string | undefined {
  const field = mount.split(',').find((part) => /^(?:target|dst|destination)=/.test(part))
  return field?.slice(field.indexOf('=') + 1)
}
