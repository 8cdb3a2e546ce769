import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { execa } from 'execa'
import * as v from 'valibot'
import { ExpectedError } from '../../errors.js'
import type { HostPaths } from '../../host/paths.js'
import { computeOwnFile, type FileChange } from '../../install/file-change.js'
import { readTemplate } from '../../install/templates.js'
import type { EngineRuntime, EngineSetup } from '../engine.js'
import { resolveProgram } from '../next-runtime.js'

const PROBE_TIMEOUT_MS = 30_000

/** The name under which `podman --runtime` finds us. */
const RUNTIME_NAME = 'spark'

/** Where Podman's files of ours lie. */
function podmanFiles(paths: HostPaths) {
  const at = (file: string) => path.join(paths.prefix === '' ? '/' : paths.prefix, file)
  return {
    // The only directory that an unconfigured Podman reads: /etc/containers/oci/hooks.d is not one (tried on 4.3.1).
    hook: at('usr/share/containers/oci/hooks.d/50-spark-run.json'),
    runtimes: at('etc/containers/containers.conf.d/50-spark-run.conf'),
    /** Podman gives a runtime no arguments, so under a prefix a script names the plan. */
    runtime: path.join(paths.libDir, paths.prefix === '' ? 'spark-runtime' : 'spark-runtime-with-plan'),
  }
}

/**
 * Looks at Podman on this host.
 *
 * @throws ExpectedError where it is missing, or is configured to read its hooks elsewhere.
 */
export async function openPodman(paths: HostPaths, purpose: 'install' | 'uninstall'): Promise<EngineSetup> {
  const onHost = paths.prefix === ''
  const files = podmanFiles(paths)
  const podman = resolveProgram('podman')
  if (purpose === 'install' && onHost) {
    if (podman === undefined) {
      throw new ExpectedError('PODMAN_MISSING', 'Podman is not installed here: there is no program podman', {
        hint: 'Install it first, for example: apt install podman',
      })
    }
    refuseOtherHooksDir(path.dirname(files.hook), paths)
  }
  return {
    name: 'podman',
    notes: onHost
      ? ['Rootless Podman cannot register containers with the guard: its containers with a GPU are refused.']
      : [],
    ownRuntime: purpose === 'install' ? await findOwnRuntime(onHost ? podman : undefined, files.runtime) : undefined,
    tryIt: onHost
      ? 'podman run --rm --device nvidia.com/gpu=all <image>'
      : `CONTAINERS_CONF=${files.runtimes} podman --hooks-dir ${path.dirname(files.hook)} --runtime ${RUNTIME_NAME} run --rm <image>`,
    computeChanges: () => computePodmanFiles(paths),
    activate: async () => {
      if (!onHost || podman === undefined)
        return 'Podman was not told: under a prefix it learns of these files by its command line'
      const args = ['--runtime', RUNTIME_NAME, 'info', '--format', '{{.Host.OCIRuntime.Path}}']
      const { stdout, stderr, exitCode } = await probe(podman, args)
      if (exitCode === 0 && stdout.trim() === files.runtime) return 'Podman reads it at its next command'
      throw new ExpectedError(
        'PODMAN_UNCONFIGURED',
        `Podman does not find the runtime ${RUNTIME_NAME} after ${files.runtimes} was written: ${lastLine(stderr) || stdout.trim()}`,
      )
    },
    listContainersUsingUs: async () =>
      onHost && podman !== undefined ? await listContainers(podman, files.runtime) : [],
    deactivate: async () => 'Podman goes on without us from its next command on',
  }
}

function computePodmanFiles(paths: HostPaths): FileChange[] {
  const files = podmanFiles(paths)
  const json = (value: string) => JSON.stringify(value).slice(1, -1)
  const own = (what: string, file: string, content: string, mode = 0o644) =>
    computeOwnFile({ what, path: file, content, mode, ifEdited: { kind: 'remove' } })
  const shell = (value: string) => value.replaceAll("'", "'\\''")
  const script = () =>
    own(
      'runtime with its plan, for Podman',
      files.runtime,
      readTemplate('podman/spark-runtime-with-plan', {
        LIB_DIR: shell(paths.libDir),
        PLAN_FILE: shell(paths.planFile),
      }),
      0o755,
    )
  const hook = readTemplate('podman/50-spark-run.json', {
    LIB_DIR: json(paths.libDir),
    PLAN_FILE: json(paths.planFile),
  })
  // A file that is no JSON would stop every container of this host.
  JSON.parse(hook)
  return [
    ...(paths.prefix === '' ? [] : [script()]),
    own(
      "Podman's list of runtimes",
      files.runtimes,
      readTemplate('podman/50-spark-run.conf', { RUNTIME: json(files.runtime) }),
    ),
    own("Podman's hook", files.hook, hook),
  ]
}

/** Podman's own runtime; crun before runc where it cannot be asked, as Podman itself looks for them. */
async function findOwnRuntime(podman: string | undefined, ours: string): Promise<EngineRuntime | undefined> {
  if (podman !== undefined) {
    const { stdout, exitCode } = await probe(podman, ['info', '--format', '{{.Host.OCIRuntime.Path}}'])
    const found = stdout.trim()
    if (exitCode === 0 && found.startsWith('/') && found !== ours) return { path: found, args: [] }
  }
  const found = resolveProgram('crun') ?? resolveProgram('runc')
  return found === undefined ? undefined : { path: found, args: [] }
}

/** A `hooks_dir` in containers.conf replaces the built-in directory: our hook would lie where nobody looks. */
function refuseOtherHooksDir(ours: string, paths: HostPaths): void {
  const etc = path.join(paths.prefix === '' ? '/' : paths.prefix, 'etc/containers')
  const candidates = ['/usr/share/containers/containers.conf', path.join(etc, 'containers.conf'), ...listConf(etc)]
  for (const file of candidates) {
    const setting = /^\s*hooks_dir\s*=\s*\[([^\]]*)\]/m.exec(readIfPossible(file) ?? '')?.[1]
    if (setting === undefined || setting.includes(`"${ours}"`)) continue
    throw new ExpectedError(
      'PODMAN_HOOKS_DIR',
      `${file} makes Podman read its hooks from ${setting.trim()} only, and not from ${ours}`,
      {
        hint: `Add "${ours}" to hooks_dir there, then install again.`,
      },
    )
  }
}

function listConf(etc: string): string[] {
  const directory = path.join(etc, 'containers.conf.d')
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith('.conf'))
      .map((name) => path.join(directory, name))
  } catch {
    return []
  }
}

const inspectSchema = v.array(v.object({ Name: v.string(), OCIRuntime: v.optional(v.string(), '') }))

/** Names of all containers, running or not, that were created with `--runtime spark`; those of root, which are the ones we see. */
async function listContainers(podman: string, ours: string): Promise<string[]> {
  const ids = (await probe(podman, ['ps', '--all', '--quiet'])).stdout.split(/\s+/).filter((id) => id !== '')
  if (ids.length === 0) return []
  const { stdout, exitCode } = await probe(podman, ['container', 'inspect', ...ids])
  if (exitCode !== 0) return []
  return v
    .parse(inspectSchema, JSON.parse(stdout))
    .filter(({ OCIRuntime }) => OCIRuntime === RUNTIME_NAME || OCIRuntime === ours)
    .map(({ Name }) => Name)
}

async function probe(podman: string, args: readonly string[]) {
  const { stdout, stderr, exitCode } = await execa(podman, args, {
    reject: false,
    timeout: PROBE_TIMEOUT_MS,
    stdin: 'ignore',
  })
  return { stdout: stdout ?? '', stderr: stderr ?? '', exitCode }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? ''
}

function readIfPossible(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
