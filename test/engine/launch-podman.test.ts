import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findProgram } from '../../src/engines/private-dockerd-needs.js'
import { type GuardProcess, startGuardProcess } from '../../src/guard/process.js'
import { readLiveRegistry } from '../../src/guard/registry.js'
import { readMeminfo } from '../../src/host/meminfo.js'
import { nativeBuildDir, packageDir } from '../../src/host/package-files.js'
import { hostPaths } from '../../src/host/paths.js'
import { importIntoPodman } from '../../src/images/podman.js'
import { compilePlan } from '../../src/plan/compile.js'
import { readPolicy } from '../../src/plan/policy.js'

const MIB = 1024 ** 2
const missing = [
  ...(process.getuid?.() === 0 ? [] : ['needs root']),
  ...['podman', 'runc'].filter((name) => findProgram(name) === undefined).map((name) => `${name} is not installed`),
]
const skipped = missing.length > 0 ? ` (skipped: ${missing.join('; ')})` : ''

describe.skipIf(missing.length > 0)(`spark-run podman${skipped}`, () => {
  const prefix = mkdtempSync(path.join(os.tmpdir(), 'spark-podman-'))
  const paths = hostPaths(prefix)
  const configuration = path.join(prefix, 'containers.conf')
  const storage = ['--root', path.join(prefix, 'storage'), '--runroot', path.join(prefix, 'run/podman')]
  const env = { ...process.env, CONTAINERS_CONF: configuration, SPARK_RUN_PREFIX: prefix }
  const podman = (...args: string[]) => spawnSync('podman', [...storage, ...args], { env, encoding: 'utf8' })
  const sparkRun = (own: readonly string[], ...args: string[]) =>
    spawnSync(process.execPath, [path.join(packageDir, 'bin/spark-run.js'), ...own, 'podman', ...storage, ...args], {
      env,
      encoding: 'utf8',
      timeout: 60_000,
    })
  let guard: GuardProcess
  let greedy: string

  /** Podman without our runtime, or with it as `install` configures it. */
  function configure(runtimes: string): void {
    const limits = 'default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]'
    writeFileSync(
      configuration,
      `[containers]\n${limits}\n[engine]\nruntime = "runc"\n[engine.runtimes]\n${runtimes}\n`,
    )
  }

  beforeAll(async () => {
    configure('')
    for (const dir of [paths.etcDir, paths.libDir, paths.registryDir, paths.ledgerDir, paths.tombstoneDir]) {
      mkdirSync(dir, { recursive: true })
    }
    const native = nativeBuildDir()
    for (const file of ['spark-runtime', 'spark-hook', 'libspark-shim.so', 'libspark-cuda.so', 'libspark-nvml.so']) {
      spawnSync('install', ['-m', '755', path.join(native, file), paths.libDir])
    }
    writeFileSync(path.join(paths.libDir, 'ledger'), '')
    writeFileSync(
      path.join(paths.libDir, 'spark-runtime-with-plan'),
      `#!/bin/sh\nexec '${paths.libDir}/spark-runtime' '--spark-plan=${paths.planFile}' "$@"\n`,
      { mode: 0o755 },
    )
    writeFileSync(paths.policyFile, JSON.stringify({ reserve: 512 * MIB, budget: { min: '16m' } }))
    const plan = compilePlan({
      policy: readPolicy(paths.policyFile),
      memTotalBytes: readMeminfo().totalBytes,
      paths,
      nextRuntime: findProgram('runc') ?? '/usr/bin/runc',
      packageVersion: '0.0.0-test',
    })
    writeFileSync(paths.planFile, JSON.stringify(plan))
    guard = await startGuardProcess({ binary: path.join(native, 'spark-guard'), ...paths, ...plan.host })
    process.env.CONTAINERS_CONF = configuration
    greedy = await importIntoPodman('greedy', { podmanArgs: storage })
    delete process.env.CONTAINERS_CONF
  })
  afterAll(async () => {
    podman('rm', '--all', '--force')
    podman('rmi', '--all', '--force')
    await guard?.stop()
    spawnSync('umount', [path.join(prefix, 'storage/overlay')])
    rmSync(prefix, { recursive: true })
  })

  test('a Podman that does not know our runtime: one sentence, nothing started', () => {
    expect(sparkRun([], 'run', '--rm', greedy)).toMatchObject({
      status: 125,
      stdout: '',
      stderr:
        'spark-run: nothing was started: Podman here knows no runtime named spark, and without it nothing holds the container. ' +
        'As root: spark-run install podman\n',
    })
    expect(podman('ps', '--all', '--quiet').stdout).toBe('')
    expect(sparkRun([], 'ps', '--quiet')).toMatchObject({ status: 0, stdout: '', stderr: '' })
  })

  describe('with the runtime configured', () => {
    beforeAll(() => configure(`spark = ["${paths.libDir}/spark-runtime-with-plan"]`))

    test('exit code and streams are those of podman, and the container sees its budget', () => {
      const script = 'cat /etc/ld.so.preload; echo $MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_SIZE; exit 42'
      const args = ['run', '--rm', '--network=none', '--entrypoint', 'sh', greedy, '-c', script]
      expect(sparkRun(['--budget', '256m'], ...args)).toMatchObject({
        status: 42,
        stdout: `/usr/lib/spark-run/libspark-shim.so\n${230 * MIB}\n`,
        stderr: '',
      })
    })

    test('the guard knows it while it lives', async () => {
      const args = ['run', '-d', '--network=none', '--name', 'known', '--entrypoint', 'sleep', greedy, '60']
      const started = sparkRun(['--budget', '128m'], ...args)
      expect(started).toMatchObject({ status: 0, stderr: '' })
      const [entry] = await readLiveRegistry(paths.registryDir)
      expect(entry).toMatchObject({ id: started.stdout.trim(), name: 'known', budgetBytes: 128 * MIB })
      podman('rm', '--force', '--time', '0', 'known')
    })

    test('another runtime would undo the budget and is refused', () => {
      expect(sparkRun([], '--runtime', 'crun', 'run', '--rm', greedy)).toMatchObject({
        status: 125,
        stderr:
          'spark-run: --runtime crun would take the container out of its budget, because Podman uses one runtime only: ' +
          'leave it out, or start this container with podman itself\n',
      })
    })

    test('a kill by the guard is told', () => {
      const reserve = String(readMeminfo().availableBytes - 1_024 * MIB)
      const bypass = ['--mode', 'bypass', '--chunk', '32m', '--limit', '1792m', '--hold', '20']
      const args = ['run', '--rm', '--network=none', '--name', 'bypass', greedy, ...bypass]
      const result = sparkRun(['--budget', '256m', '--reserve', reserve], ...args)
      expect(result.status).toBe(137)
      expect(result.stderr.trim().split('\n').at(-1)).toMatch(
        /^spark-run: killed bypass to save the host: .*spark-run explain bypass/,
      )
    })
  })
})
