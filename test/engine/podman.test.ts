import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { findProgram } from '../../src/engines/private-dockerd-needs.js'
import { unmountUnder } from '../../src/engines/private-dockerd-sweep.js'
import { readTombstones } from '../../src/guard/tombstones.js'
import { importIntoPodman } from '../../src/images/podman.js'
import { because, MIB, type PrivateMachine, startPrivateMachine, waitUntilHolding } from '../support/private-machine.js'

const missing = [
  ...(process.getuid?.() === 0 ? [] : ['it needs root']),
  ...['podman', 'runc'].filter((name) => findProgram(name) === undefined).map((name) => `${name} is not installed`),
]

/** Podman cleans up after a container in a process of its own, which mounts the storage once more. */
async function removeStorage(prefix: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      unmountUnder(prefix)
      rmSync(path.join(prefix, 'storage'), { recursive: true, force: true })
      return
    } catch (error) {
      if (tries === 40) throw error
      await sleep(250)
    }
  }
}

describe.skipIf(missing.length > 0)(`the main job on Podman, by its hooks${because(missing)}`, () => {
  let machine: PrivateMachine
  let greedy: string
  let global: string[]
  const limits = ['--network', 'none', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024']
  const podman = (...args: string[]) => machine.run('podman', [...global, ...args])
  const run = (budget: string, ...args: string[]) =>
    podman('run', ...limits, '-e', `SPARK_RUN_BUDGET=${budget}`, ...machine.gpu(), ...args)

  beforeAll(async () => {
    machine = await startPrivateMachine()
    const { prefix, libDir, planFile } = machine.paths
    const hooks = path.join(prefix, 'hooks.d')
    mkdirSync(hooks)
    const args = ['spark-hook', 'precreate', '--plan', planFile]
    const hook = { path: path.join(libDir, 'spark-hook'), args, env: ['PATH=/usr/bin:/bin'], timeout: 10 }
    const when = { always: true }
    writeFileSync(
      path.join(hooks, '50-spark-run.json'),
      JSON.stringify({ version: '1.0.0', hook, when, stages: ['precreate'] }),
    )
    const storage = ['--root', path.join(prefix, 'storage'), '--runroot', path.join(prefix, 'runroot')]
    await machine.undo.add("Podman's storage", () => removeStorage(prefix))
    global = [...storage, '--cgroup-manager', 'cgroupfs', '--runtime', 'runc', '--hooks-dir', hooks]
    greedy = await importIntoPodman('greedy', { podmanArgs: storage })
  })
  afterEach(() => void spawnSync('podman', [...global, 'rm', '--all', '--force', '--time', '0']))
  afterAll(() => machine?.stop())

  it('an engine sees its budget, gets it and nothing beyond, and goes on', async () => {
    const { status, talk, stderr } = await run('512m', '--rm', greedy, '--mode', 'greedy', '--chunk', '64m', '--json')
    expect(status, stderr).toBe(0)
    expect(talk.saw?.totalBytes).toBe(512 * MIB)
    expect(talk.heldBytes).toBeGreaterThan(384 * MIB)
    expect(talk.heldBytes).toBeLessThanOrEqual(512 * MIB)
    expect(talk).toMatchObject({ refusedWith: 'CUDA_ERROR_OUT_OF_MEMORY', done: true })
  })

  it('a budget that does not fit is refused before anything starts', async () => {
    const { status, stdout } = await run('100t', '--rm', greedy, '--mode', 'polite', '--json')
    expect(status).toBeGreaterThan(124)
    expect(stdout).toBe('')
  })

  it('an engine past every library is killed, told why in its own log, and nobody else', async () => {
    const polite = ['--mode', 'polite', '--percent', '50', '--chunk', '64m', '--hold', '120', '--json']
    expect((await run('256m', '-d', '--name', 'bystander', greedy, ...polite)).status).toBe(0)
    await waitUntilHolding(machine, ['podman', ...global], 'bystander', 50)
    expect((await run('384m', '--name', 'culprit', greedy, ...machine.bypass())).status).toBe(137)

    const tombstones = await readTombstones(machine.paths.tombstoneDir)
    expect(tombstones).toHaveLength(1)
    expect(tombstones[0]).toMatchObject({ budgetBytes: 384 * MIB })
    const log = await podman('logs', 'culprit')
    expect(log.stdout + log.stderr).toContain(`spark-guard: ${tombstones[0]?.sentence}`)
    const bystander = await podman('inspect', '--format', '{{.State.Status}}', 'bystander')
    expect(bystander.stdout.trim()).toBe('running')
  })
})
