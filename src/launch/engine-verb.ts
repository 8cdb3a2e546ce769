import type { EngineName } from './own-options.js'

/** An engine's own arguments, taken apart as far as spark-run must understand them. */
export interface EngineVerb {
  /** The verb as the engine sees it: `run`, `container run`, `ps`; undefined where none was found with certainty. */
  readonly verb: string | undefined
  /** True for `run`, `create`, `container run`, `container create`: the verbs that make a container. */
  readonly makesContainer: boolean
  /** The engine's global flags, as given, before the verb. */
  readonly globalArgs: readonly string[]
  /** Index into the arguments right after the verb: where an edit may be inserted. */
  readonly afterVerb: number
}

interface GlobalFlags {
  /** Long and short names that take a value. */
  readonly withValue: ReadonlySet<string>
  readonly withoutValue: ReadonlySet<string>
}

// docker/cli cli/flags/options.go; these have been the same since 18.09.
const DOCKER: GlobalFlags = {
  withValue: new Set(['config', 'context', 'c', 'host', 'H', 'log-level', 'l', 'tlscacert', 'tlscert', 'tlskey']),
  withoutValue: new Set(['debug', 'D', 'tls', 'tlsverify']),
}

// podman cmd/podman/root.go, versions 3 to 5.
const PODMAN: GlobalFlags = {
  withValue: new Set(
    (
      'cdi-spec-dir cgroup-manager config connection c conmon events-backend hooks-dir host H identity imagestore ' +
      'log-level module namespace network-cmd-path network-config-dir out root runroot runtime runtime-flag ssh ' +
      'storage-driver storage-opt tls-ca tls-cert tls-key tmpdir url volumepath'
    ).split(' '),
  ),
  withoutValue: new Set(['debug', 'D', 'noout', 'remote', 'r', 'syslog', 'trace', 'transient-store']),
}

const MAKES_CONTAINER = new Set(['run', 'create'])

/**
 * Finds the engine's verb by walking its global flags. A flag that is not in the table ends the search without a verb,
 * because nobody can say whether the next argument is its value.
 */
export function findEngineVerb(engine: EngineName, args: readonly string[]): EngineVerb {
  const table = engine === 'docker' ? DOCKER : PODMAN
  let at = 0
  while (at < args.length) {
    const argument = args[at] ?? ''
    if (!argument.startsWith('-')) break
    const width = globalFlagWidth(argument, table)
    if (width === undefined) return { verb: undefined, makesContainer: false, globalArgs: [], afterVerb: 0 }
    at += width
  }
  const first = args[at]
  if (first === undefined) return { verb: undefined, makesContainer: false, globalArgs: args, afterVerb: args.length }
  const globalArgs = args.slice(0, at)
  const second = args[at + 1]
  if (first === 'container' && second !== undefined && MAKES_CONTAINER.has(second)) {
    return { verb: `container ${second}`, makesContainer: true, globalArgs, afterVerb: at + 2 }
  }
  return { verb: first, makesContainer: MAKES_CONTAINER.has(first), globalArgs, afterVerb: at + 1 }
}

/** How many arguments the global flag takes, itself included; undefined for one that is not in the table. */
function globalFlagWidth(argument: string, table: GlobalFlags): 1 | 2 | undefined {
  if (argument.startsWith('--')) {
    const [name = '', value] = splitOnce(argument.slice(2), '=')
    if (table.withValue.has(name)) return value === undefined ? 2 : 1
    return table.withoutValue.has(name) ? 1 : undefined
  }
  // A cluster of short flags: the first one that takes a value swallows the rest of it, or the next argument.
  for (let letter = 1; letter < argument.length; letter++) {
    const name = argument[letter] ?? ''
    if (table.withValue.has(name)) return letter + 1 === argument.length ? 2 : 1
    if (!table.withoutValue.has(name)) return undefined
  }
  return argument.length > 1 ? 1 : undefined
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}
