import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type PrivateDockerd, startPrivateDockerd } from '../../src/engines/private-dockerd.js'
import { computeMissingForDockerd, findProgram, readDockerdGround } from '../../src/engines/private-dockerd-needs.js'
import { readEvents } from '../../src/guard/events.js'
import { type GuardProcess, startGuardProcess } from '../../src/guard/process.js'
import { readLiveRegistry } from '../../src/guard/registry.js'
import { SIDECAR_NAME } from '../../src/guard/sidecar.js'
import { readGuardPresence } from '../../src/host/guard-presence.js'
import { hugePagesInUseBytes, readMeminfo } from '../../src/host/meminfo.js'
import { nativeBuildDir, packageDir } from '../../src/host/package-files.js'
import { type HostPaths, hostPaths } from '../../src/host/paths.js'
import { buildImage } from '../../src/images/build.js'
import { compilePlan } from '../../src/plan/compile.js'
import { readPolicy } from '../../src/plan/policy.js'

const MIB = 1024 ** 2
const PROGRAM = path.join(packageDir, 'bin/spark-run.js')
const RESERVE_BYTES = 512 * MIB
/** How far MemAvailable is above the raised reserve when the engine without manners starts, and what it takes at most. */
const ROOM_BYTES = 1_024 * MIB
const BYPASS_LIMIT_MIB = 1_792

const missing = [
  ...computeMissingForDockerd(readDockerdGround()),
  ...(findProgram('docker') === undefined ? ['the program docker is not installed'] : []),
]
const skipped = missing.length > 0 ? ` (skipped: ${missing.join('; ')})` : ''

/** A host of its own: directories, a policy, a Docker daemon, the image of the engine. */
interface Host {
  readonly paths: HostPaths
  readonly dockerd: PrivateDockerd
  readonly greedy: string
  sparkRun(args: readonly string[]): { status: number | null; stdout: string; stderr: string }
  docker(...args: string[]): { status: number | null; stdout: string; stderr: string }
  remove(): Promise<void>
}

async function startHost(
  runtimes: (paths: HostPaths) => Record<string, { path: string; runtimeArgs: string[] }>,
): Promise<Host> {
  const prefix = mkdtempSync(path.join(os.tmpdir(), 'spark-launch-'))
  const paths = hostPaths(prefix)
  mkdirSync(paths.etcDir, { recursive: true })
  const policy = { reserve: RESERVE_BYTES, budget: { min: '16m' } }
  writeFileSync(paths.policyFile, JSON.stringify(policy))
  const dockerd = await startPrivateDockerd({ runtimes: runtimes(paths) })
  const env = { ...process.env, ...dockerd.env, SPARK_RUN_PREFIX: prefix }
  const greedy = await buildImage(await dockerd.docker(), 'greedy')
  return {
    paths,
    dockerd,
    greedy,
    sparkRun: (args) => spawnSync(process.execPath, [PROGRAM, ...args], { env, encoding: 'utf8', timeout: 60_000 }),
    docker: (...args) => spawnSync('docker', args, { env, encoding: 'utf8', timeout: 60_000 }),
    async remove() {
      await dockerd.stop()
      rmSync(prefix, { recursive: true })
    },
  }
}

const run = (host: Host, name: string, ...command: string[]) => [
  ...['docker', 'run', '--rm', '--network=none', '--name', name],
  ...['--entrypoint', command[0] ?? 'sh', host.greedy, ...command.slice(1)],
]

async function until(what: string, holds: () => Promise<boolean> | boolean, seconds = 10): Promise<void> {
  for (let wait = 0; wait < seconds * 20; wait++) {
    if (await holds()) return
    await sleep(50)
  }
  throw new Error(`not within ${seconds} s: ${what}`)
}

/**
 * The reserve is raised for this container until only a little is above it, so that a small test fills a large machine. Tried
 * anew where the engine came to its end unharmed, because another program gave memory back at the same time.
 */
function untilKilled<T extends { status: number | null }>(attempt: (reserve: string) => T): T {
  let result = attempt(String(readMeminfo().availableBytes - ROOM_BYTES))
  for (let again = 0; again < 2 && result.status === 0; again++) {
    result = attempt(String(readMeminfo().availableBytes - ROOM_BYTES))
  }
  return result
}

/** What must hold whichever way the plan comes to the container. */
function carriedTests(host: () => Host) {
  test('exit code, stdin and streams are those of docker', () => {
    const { sparkRun } = host()
    const result = sparkRun(run(host(), 'plain', 'sh', '-c', 'echo out; echo err >&2; exit 42'))
    expect(result).toMatchObject({ status: 42, stdout: 'out\n' })
    expect(result.stderr).toMatch(/(?:^|\n)err\n$/)
    expect(sparkRun(['docker', 'run', '--rm', host().greedy, '--no-such-option'])).toMatchObject({ status: 2 })
    const noCommand = sparkRun(run(host(), 'absent', 'no-such-program'))
    expect(noCommand.status).toBe(127)
  })

  test('the container sees its budget: ledger, preload, variables, memory limit', () => {
    const script = [
      'cat /etc/ld.so.preload',
      'ls /usr/lib/spark-run/libspark-shim.so /usr/lib/spark-run/ledger',
      'echo $MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_SIZE',
    ].join('; ')
    const result = host().sparkRun(['--budget', '256m', ...run(host(), 'sees', 'sh', '-c', script)])
    expect(result).toMatchObject({ status: 0 })
    const [preload, ...rest] = result.stdout.trim().split('\n')
    expect(preload).toBe('/usr/lib/spark-run/libspark-shim.so')
    expect(rest.slice(0, -1).toSorted()).toEqual(['/usr/lib/spark-run/ledger', '/usr/lib/spark-run/libspark-shim.so'])
    // 90 % of 256 MiB, rounded down to 2 MiB.
    expect(rest.at(-1)).toBe(String(230 * MIB))
  })

  test('what the person sets is not touched', () => {
    const args = ['docker', 'run', '--rm', '--network=none', '-e', 'MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_SIZE=7']
    const result = host().sparkRun([...args, '--entrypoint', 'env', host().greedy])
    expect(result.stdout).toContain('MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_SIZE=7\n')
    expect(result.stdout).not.toContain('MEMORY_MANAGER_ONLY')
  })

  test('the guard knows the container while it lives, by name, budget and request', async () => {
    const { sparkRun, docker, paths, greedy } = host()
    const args = ['docker', 'run', '-d', '--network=none', '--name', 'known', '--entrypoint', 'sleep', greedy, '60']
    const started = sparkRun(['--budget', '128m', '--priority', '7', ...args])
    expect(started).toMatchObject({ status: 0 })
    const [entry] = await readLiveRegistry(paths.registryDir)
    expect(entry).toMatchObject({ id: started.stdout.trim(), name: 'known', budgetBytes: 128 * MIB, priority: 7 })
    expect(sparkRun(['explain', 'known']).stdout).toMatch(/^known runs inside a budget of 128\.0 MiB\.\n/)

    const second = sparkRun(['--budget', '8t', ...run(host(), 'too-much', 'sh', '-c', ':')])
    expect(second.status).toBe(125)
    expect(second.stderr).toContain('known 128.0 MiB')
    expect(sparkRun(['explain', 'too-much']).stdout).toMatch(/^too-much was refused before it started: /)

    docker('rm', '-f', 'known')
    await until('the guard forgets it', () => readdirSync(paths.registryDir).length === 0)
  })

  test('the kernel and the guard are told apart', () => {
    const { sparkRun, greedy } = host()
    const script =
      'head -c 300000000 /dev/zero | tail -c 1 >/dev/null; x=$(head -c 100000000 /dev/zero | tr "\\0" a); exit 0'
    const args = ['docker', 'run', '--network=none', '--name', 'oom', '--entrypoint', 'sh', greedy, '-c', script]
    const result = sparkRun(['--budget', '32m', ...args])
    expect(result.stderr).not.toContain('spark-run explain')
    expect(sparkRun(['explain', 'oom']).stdout).toMatch(/^oom was killed by the kernel, not by spark-run: /)
  })

  test('an engine that goes past every library is killed, and the person is told who, why and what next', async () => {
    const { sparkRun, docker, paths, greedy } = host()
    const bystander = [
      'docker',
      'run',
      '-d',
      '--rm',
      '--network=none',
      '--name',
      'bystander',
      '--entrypoint',
      'sleep',
      greedy,
      '60',
    ]
    expect(sparkRun(['--budget', '64m', ...bystander]).status).toBe(0)

    // The kernel's huge pages are in no memory cgroup, as driver memory is not.
    const bypass = ['--mode', 'bypass', '--chunk', '32m', '--limit', `${BYPASS_LIMIT_MIB}m`, '--hold', '3']
    const command = ['docker', 'run', '--rm', '--network=none', '--name', 'bypass', greedy, ...bypass]
    const result = untilKilled((reserve) => sparkRun(['--budget', '256m', '--reserve', reserve, ...command]))
    expect(result).toMatchObject({ status: 137 })
    const lines = result.stderr.trim().split('\n')
    expect(lines).toContainEqual(expect.stringMatching(/^spark-guard: killed bypass to save the host: /))
    expect(lines.at(-1)).toMatch(
      /^spark-run: killed bypass to save the host: .*; spark-run explain bypass tells the rest$/,
    )

    expect(docker('inspect', '--format', '{{.State.Running}}', 'bystander').stdout).toBe('true\n')
    docker('rm', '-f', 'bystander')

    const explained = sparkRun(['explain', 'bypass'])
    expect(explained.stdout).toMatch(/^killed bypass to save the host: /)
    expect(explained.stdout).toContain('use at death')
    expect(explained.stdout).toContain('┤ kill')
    const json = JSON.parse(sparkRun(['explain', 'bypass', '--json']).stdout)
    expect(json).toMatchObject({
      schemaVersion: 1,
      verdict: 'guard-kill',
      name: 'bypass',
      tombstone: { budgetBytes: 256 * MIB },
    })
    const kills = (await readEvents(paths.eventsFile)).filter((event) => event.type === 'kill')
    expect(kills).toHaveLength(1)
  })
}

describe.skipIf(missing.length > 0)(`spark-run docker with the runtime installed${skipped}`, () => {
  let host: Host
  let guard: GuardProcess
  beforeAll(async () => {
    const native = nativeBuildDir()
    host = await startHost((paths) => ({
      spark: { path: path.join(paths.libDir, 'spark-runtime'), runtimeArgs: [`--spark-plan=${paths.planFile}`] },
    }))
    const { paths } = host
    mkdirSync(paths.libDir, { recursive: true })
    for (const file of ['spark-runtime', 'spark-hook', 'libspark-shim.so', 'libspark-cuda.so', 'libspark-nvml.so']) {
      spawnSync('install', ['-m', '755', path.join(native, file), paths.libDir])
    }
    writeFileSync(path.join(paths.libDir, 'ledger'), '')
    const plan = compilePlan({
      policy: readPolicy(paths.policyFile),
      memTotalBytes: readMeminfo().totalBytes,
      paths,
      nextRuntime: findProgram('runc') ?? '/usr/bin/runc',
      packageVersion: '0.0.0-test',
    })
    writeFileSync(paths.planFile, JSON.stringify(plan))
    for (const dir of [paths.registryDir, paths.ledgerDir, paths.tombstoneDir]) mkdirSync(dir, { recursive: true })
    guard = await startGuardProcess({ binary: path.join(native, 'spark-guard'), ...paths, ...plan.host })
  })
  afterAll(async () => {
    await guard?.stop()
    await host?.remove()
  })

  carriedTests(() => host)

  test('nothing is said, and docker is told two things more', () => {
    const result = host.sparkRun(run(host, 'quiet', 'sh', '-c', ':'))
    expect(result).toMatchObject({ status: 0, stdout: '', stderr: '' })
    const dry = host.sparkRun(['--dry-run', ...run(host, 'quiet', 'sh', '-c', ':')])
    expect(dry.stdout).toMatch(/^docker run --runtime=spark -e 'SPARK_RUN_REQUEST=v1;id=[^']+;name=quiet' --rm /)
  })

  test('a container that was started past spark-run has its name in status, and its refusal is explained', async () => {
    const { docker, sparkRun, paths, greedy } = host
    const start = (name: string, budget: string) => {
      const options = ['--runtime=spark', '--network=none', '--name', name, '-e', `SPARK_RUN_BUDGET=${budget}`]
      return docker('run', '-d', ...options, '--entrypoint', 'sleep', greedy, '60')
    }
    expect(start('past', '64m')).toMatchObject({ status: 0 })
    expect(sparkRun(['status']).stdout).toMatch(/^\w{12} {3}past {3}/m)
    expect(start('large', '8t').status).not.toBe(0)
    expect(sparkRun(['explain', 'large']).stdout).toMatch(/^large was refused before it started: /)

    docker('restart', '-t', '0', 'past')
    expect(sparkRun(['status']).stdout).toMatch(/^\w{12} {3}past {3}/m)
    docker('stop', '-t', '0', 'past')
    docker('start', 'past')
    docker('rm', '-f', 'past', 'large')
    await until('the guard forgets it', () => readdirSync(paths.registryDir).length === 0)
    expect(readdirSync(paths.ledgerDir)).toEqual([])
  })

  test('without a guard nothing starts, in one sentence', async () => {
    await guard.stop()
    const result = host.sparkRun(run(host, 'alone', 'sh', '-c', ':'))
    expect(result.status).toBe(125)
    expect(result.stderr).toContain('guard')
    expect(result.stderr).not.toContain('    at ')
  })
})

describe.skipIf(missing.length > 0)(`spark-run docker with nothing installed: flags and sidecar${skipped}`, () => {
  let host: Host
  beforeAll(async () => {
    host = await startHost(() => ({}))
  })
  afterAll(() => host?.remove())

  test('the first run starts a guard beside, and says so once', () => {
    const first = host.sparkRun(run(host, 'first', 'sh', '-c', ':'))
    expect(first).toMatchObject({ status: 0, stdout: '' })
    expect(first.stderr).toBe('spark-run: no guard runs on this engine yet; starting one as a container\n')
    expect(host.sparkRun(run(host, 'second', 'sh', '-c', ':'))).toMatchObject({ status: 0, stdout: '', stderr: '' })
  })

  carriedTests(() => host)

  test("the person's own limit may be smaller than the budget and not larger; a refusal holds nothing", () => {
    const limit = ['docker', 'run', '--rm', '--network=none', '-m']
    const script = ['--entrypoint', 'sh', host.greedy, '-c', ':']
    const { sparkRun, paths } = host
    const heldBefore = readdirSync(paths.ledgerDir)
    expect(sparkRun(['--budget', '64m', ...limit, '4g', ...script])).toMatchObject({
      status: 125,
      stderr: 'spark-run: -m 4g is more than the budget of 64.0 MiB: lower it or leave it out\n',
    })
    expect(readdirSync(paths.ledgerDir)).toEqual(heldBefore)
    expect(readdirSync(path.join(paths.runDir, 'admitted'))).toEqual([])
    expect(sparkRun(['--budget', '64m', ...limit, '32m', ...script])).toMatchObject({ status: 0, stderr: '' })
  })

  test('a guard that was stopped is started again', () => {
    host.docker('stop', SIDECAR_NAME)
    expect(host.sparkRun(run(host, 'again', 'sh', '-c', ':'))).toMatchObject({
      status: 0,
      stderr: 'spark-run: the guard of this engine was stopped; starting it again\n',
    })
  })

  test('a guard that hangs is replaced in its container', async () => {
    const guardPid = () => readGuardPresence(host.paths).state?.pid ?? 0
    const hanging = guardPid()
    expect(hanging).toBeGreaterThan(1)
    process.kill(hanging, 'SIGSTOP')
    await until('another guard is there', () => ![0, hanging].includes(guardPid()), 30)
    expect(host.docker('inspect', '--format', '{{.State.Running}} {{.RestartCount}}', SIDECAR_NAME).stdout).toBe(
      'true 0\n',
    )
    expect(host.sparkRun(run(host, 'after', 'sh', '-c', ':'))).toMatchObject({ status: 0, stderr: '' })
  })

  test('a container that is restarted while it is attached is registered anew', async () => {
    const args = [
      'docker',
      'run',
      '--restart=on-failure:1',
      '--network=none',
      '--name',
      'twice',
      '--entrypoint',
      'sh',
      host.greedy,
    ]
    expect(host.sparkRun([...args, '-c', 'sleep 1; exit 5']).status).toBe(5)
    await until(
      'it has ended for good',
      () => host.docker('inspect', '--format', '{{.State.Running}} {{.RestartCount}}', 'twice').stdout === 'false 1\n',
    )
    const seen = (await readEvents(host.paths.eventsFile)).filter((event) => event.name === 'twice')
    expect(seen.filter((event) => event.type === 'register').length).toBeGreaterThanOrEqual(1)
    await until('the guard forgets it', () => readdirSync(host.paths.registryDir).length === 0)
  })

  test('create says that its container will not be followed', () => {
    const args = ['docker', 'create', '--network=none', '--name', 'later', host.greedy]
    expect(host.sparkRun(['--budget', '64m', ...args]).stderr).toContain(
      'the guard will not watch it after docker start',
    )
    expect(
      host.sparkRun(['--budget', '64m', '--quiet', 'docker', 'create', '--network=none', host.greedy]).stderr,
    ).toBe('')
  })

  test('a foreign container with the name of the guard is left alone', () => {
    host.docker('rm', '-f', SIDECAR_NAME)
    host.docker('create', '--name', SIDECAR_NAME, '--network=none', host.greedy)
    expect(host.sparkRun(run(host, 'foreign', 'sh', '-c', ':'))).toMatchObject({
      status: 125,
      stderr: `spark-run: this engine has a container named ${SIDECAR_NAME} that is not a guard of spark-run. Rename it: docker rename ${SIDECAR_NAME} NEW_NAME\n`,
    })
    host.docker('rm', '-f', SIDECAR_NAME)
  })
})

afterAll(() => {
  // Whatever was killed has given its huge pages back.
  if (missing.length === 0) expect(hugePagesInUseBytes(readMeminfo().hugePages)).toBeLessThan(8 * 1024 * MIB)
})
