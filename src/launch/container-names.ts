import type { Status } from '../host/status.js'
import { createEngineCli } from './engine-cli.js'

const ENGINE_TIMEOUT_MS = 2_000

/**
 * Adds the names that only the engine knows: a container that was started past spark-run is registered without one. An
 * engine that is not there or does not answer names nobody.
 */
export async function nameContainers(
  status: Status,
  environment: Readonly<NodeJS.ProcessEnv> = process.env,
): Promise<Status> {
  const names = new Map<string, string>()
  for (const engine of ['docker', 'podman'] as const) {
    const ids = status.containers.filter(({ name, engine: its }) => name === null && its === engine).map(({ id }) => id)
    if (ids.length === 0) continue
    const cli = createEngineCli(engine, [], environment)
    // Those it finds are told even where it misses one.
    const { stdout } = await cli.ask(['container', 'inspect', '--format', '{{.Id}} {{.Name}}', ...ids], {
      timeoutMs: ENGINE_TIMEOUT_MS,
    })
    for (const line of stdout.split('\n')) {
      const [id = '', name = ''] = line.split(' ')
      if (name !== '') names.set(id, name.replace(/^\//, ''))
    }
  }
  return {
    ...status,
    containers: status.containers.map((container) => ({
      ...container,
      name: container.name ?? names.get(container.id) ?? null,
    })),
  }
}
