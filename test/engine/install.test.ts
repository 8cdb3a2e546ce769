import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type PrivateDockerd, startPrivateDockerd } from '../../src/engines/private-dockerd.js'
import { computeMissingForDockerd, findProgram, readDockerdGround } from '../../src/engines/private-dockerd-needs.js'
import { nativeBuildDir } from '../../src/host/package-files.js'
import { hostPaths } from '../../src/host/paths.js'
import { readProcessIdentity } from '../../src/host/process-identity.js'
import { install } from '../../src/install/install.js'
import type { InstallOptions } from '../../src/install/prepare.js'
import { computeProgramFiles } from '../../src/install/program-files.js'
import { type InstallRecord, readInstallRecord } from '../../src/install/record.js'
import { uninstall } from '../../src/install/uninstall.js'

const IMAGE = 'spark-install-test:1'

const needs = (programs: readonly string[]) => [
  ...programs.filter((name) => findProgram(name) === undefined).map((name) => `the program ${name} is not installed`),
  ...(process.geteuid?.() === 0 ? [] : ['this is not root']),
  ...(isNativeBuilt() ? [] : ['the native parts are not built']),
]
const missingForDocker = [...computeMissingForDockerd(readDockerdGround()), ...needs(['busybox', 'docker'])]
const missingForPodman = needs(['busybox', 'podman', 'runc'])

const skipped = (missing: readonly string[]) => (missing.length === 0 ? '' : ` (skipped: ${missing.join('; ')})`)

let prefix: string

beforeEach(() => {
  prefix = mkdtempSync(path.join(os.tmpdir(), 'spark-install-'))
  // mkdtemp makes it 0700, and containers of another user reach the libraries through it.
  chmodSync(prefix, 0o755)
})

afterEach(async () => {
  const paths = hostPaths(prefix)
  // Only after a failed test is anything left; its guard must not stay.
  await uninstall({ engines: ['docker', 'podman'], paths, reload: false, force: true }).catch(() => {})
  rmSync(prefix, { recursive: true, force: true })
})

describe.skipIf(missingForDocker.length > 0)(`install docker${skipped(missingForDocker)}`, () => {
  let dockerd: PrivateDockerd
  /** As people write it: tabs, no newline at the end, a runtime and a feature of their own. */
  const original =
    '{\n\t"runtimes": {\n\t\t"mine": { "path": "/usr/bin/runc" }\n\t},\n\t"features": { "buildkit": true }\n}'

  beforeAll(async () => {
    dockerd = await startPrivateDockerd()
    execFileSync('docker', ['import', '-', IMAGE], { input: busyboxTar(), env: { ...process.env, ...dockerd.env } })
  })

  afterAll(async () => dockerd?.stop())

  beforeEach(() => {
    writeFileSync(dockerd.configFile, original)
    dockerd.reload()
  })

  const options = (more: Partial<InstallOptions> = {}): InstallOptions => ({
    engine: 'docker',
    paths: hostPaths(prefix),
    packageVersion: '0.1.0',
    daemonJson: dockerd.configFile,
    dockerHost: dockerd.host,
    ...more,
  })
  const docker = (...args: string[]) =>
    spawnSync('docker', args, { encoding: 'utf8', env: { ...process.env, ...dockerd.env } })
  const runtimes = () => JSON.parse(docker('info', '--format', '{{json .Runtimes}}').stdout) as Record<string, unknown>
  const daemonJson = () => readFileSync(dockerd.configFile, 'utf8')
  const record = () => readInstallRecord(hostPaths(prefix).installRecordFile) as InstallRecord

  it('a dry run shows the change of daemon.json and makes none of any file', async () => {
    const result = await install(options({ dryRun: true }))
    expect(result.outcome).toBe('dry-run')
    expect(result.diff).toContain(`--- ${dockerd.configFile}\n+++ ${dockerd.configFile}\n`)
    expect(result.diff).toContain('+\t\t"spark": {\n')
    expect(daemonJson()).toBe(original)
    expect(readdirSync(prefix)).toEqual([])
  })

  it('containers get the edits; a second time changes nothing; uninstall leaves every byte as it was', async () => {
    const paths = hostPaths(prefix)
    expect((await install(options())).outcome).toBe('installed')
    expect(Object.keys(runtimes())).toContain('spark')
    expect(Object.keys(runtimes())).toContain('mine')
    expect(readFileSync(`${dockerd.configFile}.spark-run-backup`, 'utf8')).toBe(original)

    const seen = docker(
      ...['run', '--rm', '--network', 'none', '--runtime', 'spark', IMAGE, '/bin/busybox', 'sh', '-c'],
      'busybox cat /etc/ld.so.preload; busybox ls /usr/lib/spark-run; busybox head -c 8 /usr/lib/spark-run/ledger; busybox env',
    )
    expect(seen.stderr).toBe('')
    expect(seen.stdout).toContain('/usr/lib/spark-run/libspark-shim.so\n')
    expect(seen.stdout).toContain('SPRKLDG1')
    expect(seen.stdout).toContain('MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_SIZE=')
    await expect.poll(() => readdirSync(paths.registryDir)).toEqual([])

    const first = record()
    expect((await install(options())).outcome).toBe('unchanged')
    expect(record().guard).toEqual(first.guard)

    expect((await uninstall({ engines: ['docker'], paths })).outcome).toBe('uninstalled')
    expect(daemonJson()).toBe(original)
    expect(existsSync(`${dockerd.configFile}.spark-run-backup`)).toBe(false)
    expect(Object.keys(runtimes())).not.toContain('spark')
    expect(Object.keys(runtimes())).toContain('mine')
    expect(guardPidOf(first)).toBeUndefined()
    expect(filesUnder(prefix)).toEqual([path.join('var', 'log', 'spark-run', 'events.jsonl')])
  })

  it('a file that was not there is gone again, and Docker has forgotten the runtime and the default', async () => {
    rmSync(dockerd.configFile)
    await install(options({ defaultRuntime: true }))
    expect(docker('info', '--format', '{{.DefaultRuntime}}').stdout.trim()).toBe('spark')
    await uninstall({ engines: ['docker'], paths: hostPaths(prefix) })
    expect(existsSync(dockerd.configFile)).toBe(false)
    expect(docker('info', '--format', '{{.DefaultRuntime}}').stdout.trim()).toBe('runc')
    expect(Object.keys(runtimes())).not.toContain('spark')
  })

  it('a file that was edited afterwards loses our entry only', async () => {
    await install(options())
    writeFileSync(dockerd.configFile, daemonJson().replace('"features"', '"debug": false,\n\t"features"'))
    const result = await uninstall({ engines: ['docker'], paths: hostPaths(prefix) })
    expect(result.warnings.join()).toContain('was edited since the installation')
    expect(daemonJson()).toBe(original.replace('"features"', '"debug": false,\n\t"features"'))
    rmSync(`${dockerd.configFile}.spark-run-backup`)
  })

  it('uninstall refuses while a container needs the runtime, or leaves a pass-through, which install lifts', async () => {
    const paths = hostPaths(prefix)
    const create = ['create', '--name', 'needs-it', '--network', 'none', '--runtime', 'spark', IMAGE]
    await install(options())
    docker(...create, '/bin/busybox', 'cat', '/etc/ld.so.preload')
    try {
      await expect(uninstall({ engines: ['docker'], paths })).rejects.toMatchObject({
        code: 'RUNTIME_IN_USE',
        message: expect.stringContaining('needs-it'),
      })
      const guard = guardPidOf(record())
      expect(guard).toBeDefined()
      expect((await uninstall({ engines: ['docker'], paths, force: true })).outcome).toBe('pass-through')
      expect(readProcessIdentity(guard ?? 0)).toBeUndefined()
      // The container starts without a guard and without edits: there is no list of preloaded libraries in it.
      const bare = docker('start', '--attach', 'needs-it')
      expect(bare.stderr).toContain("can't open '/etc/ld.so.preload'")

      await install(options())
      expect(existsSync(paths.disabledFile)).toBe(false)
      expect(docker('start', '--attach', 'needs-it').stdout).toBe('/usr/lib/spark-run/libspark-shim.so\n')
    } finally {
      docker('rm', '-f', 'needs-it')
    }
    await expect.poll(() => readdirSync(paths.registryDir)).toEqual([])
    expect((await uninstall({ engines: ['docker'], paths })).outcome).toBe('uninstalled')
    expect(daemonJson()).toBe(original)
  })

  it('takes everything back when Docker does not take its file', async () => {
    // JSON that is whole, with a key that no Docker knows: dockerd goes on with what it knew.
    const unknown = original.replace('{\n', '{\n\t"no-such-key": true,\n')
    writeFileSync(dockerd.configFile, unknown)
    await expect(install(options())).rejects.toMatchObject({
      code: 'DOCKER_RELOAD_FAILED',
      hint: expect.stringContaining('Nothing was changed'),
    })
    expect(daemonJson()).toBe(unknown)
    expect(existsSync(`${dockerd.configFile}.spark-run-backup`)).toBe(false)
    expect(readdirSync(prefix)).toEqual([])
  })

  it('refuses comments before anything is changed', async () => {
    writeFileSync(dockerd.configFile, original.replace('{\n', '{\n\t// by hand\n'))
    await expect(install(options())).rejects.toMatchObject({
      code: 'DAEMON_JSON_BROKEN',
      message: expect.stringContaining('line 2, column 2: dockerd takes no comments'),
    })
    expect(readdirSync(prefix)).toEqual([])
  })

  it('refuses a broken file before anything is changed', async () => {
    writeFileSync(dockerd.configFile, '{\n\t"debug": tru\n}')
    await expect(install(options())).rejects.toMatchObject({
      code: 'DAEMON_JSON_BROKEN',
      message: expect.stringContaining('line 2, column 11'),
    })
    expect(readdirSync(prefix)).toEqual([])
  })

  it('refuses a file that this daemon does not read, and ourselves as next runtime', async () => {
    await expect(install(options({ daemonJson: path.join(prefix, 'other.json') }))).rejects.toMatchObject({
      code: 'DAEMON_JSON_UNREAD',
    })
    const ourselves = path.join(nativeBuildDir(), 'spark-runtime')
    await expect(install(options({ nextRuntime: ourselves }))).rejects.toMatchObject({ code: 'NEXT_RUNTIME_OURSELVES' })
    await expect(install(options({ nextRuntime: '/usr/bin/gone' }))).rejects.toMatchObject({
      code: 'NEXT_RUNTIME_MISSING',
      message: 'the next runtime /usr/bin/gone does not exist',
    })
    expect(readdirSync(prefix)).toEqual([])
  })

  it('goes on with a note when no daemon runs', async () => {
    const file = path.join(prefix, 'etc/docker/daemon.json')
    const more = { daemonJson: undefined, dockerHost: `unix://${prefix}/docker.sock` }
    const result = await install(options(more))
    expect(result.notes.join()).toContain(`No Docker daemon answers at ${prefix}/docker.sock`)
    expect(readFileSync(file, 'utf8')).toContain('"spark"')
    await uninstall({ engines: ['docker'], paths: hostPaths(prefix) })
    expect(existsSync(path.dirname(file))).toBe(false)
  })

  it('of two at once one waits for its turn by being told so', async () => {
    let release = (_: boolean) => {}
    const confirm = () => new Promise<boolean>((resolve) => (release = resolve))
    const first = install(options({ confirm }))
    await expect.poll(() => existsSync(path.join(hostPaths(prefix).stateDir, 'install.lock'))).toBe(true)
    await sleep(200)
    await expect(install(options())).rejects.toMatchObject({ code: 'INSTALL_BUSY' })
    release(false)
    expect((await first).outcome).toBe('declined')
    expect(readdirSync(prefix)).toEqual([])
  })

  it('leaves nothing behind when the guard does not start, and the run directory is named when it cannot be made', async () => {
    const buildDir = path.join(prefix, 'build')
    cpSync(nativeBuildDir(), buildDir, { recursive: true, filter: (source) => !source.endsWith('/obj') })
    writeFileSync(path.join(buildDir, 'spark-guard'), '#!/bin/sh\necho "no kill for me" >&2\nexit 3\n', { mode: 0o755 })
    await expect(install(options({ buildDir }))).rejects.toMatchObject({
      code: 'GUARD_NOT_READY',
      message: expect.stringContaining('no kill for me'),
    })
    expect(daemonJson()).toBe(original)
    rmSync(buildDir, { recursive: true })
    expect(filesUnder(prefix)).toEqual([path.join('var', 'log', 'spark-run', 'guard.log')])
    rmSync(path.join(prefix, 'var'), { recursive: true })

    writeFileSync(path.join(prefix, 'run'), 'in the way')
    await expect(install(options())).rejects.toMatchObject({
      code: 'NOT_WRITABLE',
      message: expect.stringContaining(`${prefix}/run/spark-run/containers`),
    })
    expect(filesUnder(prefix)).toEqual(['run'])
  })

  it('a renewal that fails leaves the old installation and its guard at work', async () => {
    await install(options())
    const buildDir = path.join(prefix, 'build')
    cpSync(nativeBuildDir(), buildDir, { recursive: true, filter: (source) => !source.endsWith('/obj') })
    writeFileSync(path.join(buildDir, 'spark-guard'), '#!/bin/sh\nexit 3\n', { mode: 0o755 })
    await expect(install(options({ buildDir }))).rejects.toMatchObject({ code: 'GUARD_NOT_READY' })
    expect(guardPidOf(record())).toBeDefined()
    const run = docker('run', '--rm', '--network', 'none', '--runtime', 'spark', IMAGE, '/bin/busybox', 'true')
    expect(run.stderr).toBe('')
    await expect.poll(() => readdirSync(hostPaths(prefix).registryDir)).toEqual([])
    await uninstall({ engines: ['docker'], paths: hostPaths(prefix) })
    expect(daemonJson()).toBe(original)
  })
})

describe.skipIf(missingForPodman.length > 0)(`install podman${skipped(missingForPodman)}`, () => {
  // Limits within what a container without CAP_SYS_RESOURCE may set.
  const small = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024', '--network', 'none']
  let storage: string

  beforeAll(() => {
    storage = mkdtempSync(path.join(os.tmpdir(), 'spark-podman-'))
    podman(['--runtime', 'runc', 'import', '-', IMAGE], busyboxTar())
  })

  afterAll(() => {
    podman(['rm', '--all', '--force'])
    podman(['rmi', '--all', '--force'])
    spawnSync('umount', [path.join(storage, 'root/overlay')])
    rmSync(storage, { recursive: true, force: true })
  })

  function podman(args: readonly string[], input?: Buffer) {
    const own = ['--root', path.join(storage, 'root'), '--runroot', path.join(storage, 'run')]
    const hooks = ['--hooks-dir', path.join(prefix ?? storage, 'usr/share/containers/oci/hooks.d')]
    const conf = path.join(prefix ?? storage, 'etc/containers/containers.conf.d/50-spark-run.conf')
    return spawnSync('podman', [...own, ...hooks, ...args], {
      encoding: 'utf8',
      ...(input === undefined ? {} : { input }),
      env: { ...process.env, ...(existsSync(conf) ? { CONTAINERS_CONF: conf } : {}) },
    })
  }

  it('the hook holds containers with a GPU, the runtime any, and both go without a trace', async () => {
    const paths = hostPaths(prefix)
    const result = await install({ engine: 'podman', paths, packageVersion: '0.1.0' })
    expect(result.outcome).toBe('installed')
    // A device of that name is what marks a container with a GPU; which device it is does not matter here.
    const device = path.join(prefix, 'nvidia0')
    execFileSync('mknod', ['-m', '666', device, 'c', '1', '3'])

    const gpu = ['--runtime', 'runc', 'run', '--detach', '--name', 'gpu', '--device', `${device}:/dev/nvidia0`]
    const look = 'busybox cat /etc/ld.so.preload; busybox head -c 8 /usr/lib/spark-run/ledger; busybox sleep 60'
    const started = podman([...gpu, ...small, IMAGE, '/bin/busybox', 'sh', '-c', look])
    expect(started.stderr).toBe('')
    const id = started.stdout.trim()
    expect(readFileSync(path.join(paths.registryDir, id), 'utf8')).toContain('engine=podman\n')
    await expect.poll(() => podman(['logs', 'gpu']).stdout).toBe('/usr/lib/spark-run/libspark-shim.so\nSPRKLDG1')

    await expect(uninstall({ engines: ['podman'], paths })).rejects.toMatchObject({ code: 'RUNTIME_IN_USE' })
    podman(['rm', '--force', '--time', '0', 'gpu'])
    await expect.poll(() => readdirSync(paths.registryDir)).toEqual([])
    expect(readdirSync(paths.ledgerDir)).toEqual([])

    const plain = ['run', '--rm', ...small, IMAGE, '/bin/busybox', 'cat', '/etc/ld.so.preload']
    expect(podman(['--runtime', 'runc', ...plain]).stderr).toContain("can't open")
    expect(podman(['--runtime', 'spark', ...plain]).stdout).toBe('/usr/lib/spark-run/libspark-shim.so\n')

    await expect.poll(() => readdirSync(paths.registryDir)).toEqual([])
    rmSync(device)
    expect((await uninstall({ engines: ['podman'], paths })).outcome).toBe('uninstalled')
    expect(filesUnder(prefix)).toEqual([path.join('var', 'log', 'spark-run', 'events.jsonl')])
    expect(podman(['--runtime', 'runc', 'run', '--rm', ...small, IMAGE, '/bin/busybox', 'true']).stderr).toBe('')
  })

  it('two engines share programs and guard, which leave with the last', async () => {
    const paths = hostPaths(prefix)
    await install({ engine: 'podman', paths, packageVersion: '0.1.0' })
    const guard = guardPidOf(readInstallRecord(paths.installRecordFile) as InstallRecord)
    await install({ engine: 'docker', paths, packageVersion: '0.1.0' })
    await uninstall({ engines: ['podman'], paths })
    expect(guardPidOf(readInstallRecord(paths.installRecordFile) as InstallRecord)).toBe(guard)
    expect(filesUnder(prefix).filter((file) => file.includes('containers'))).toEqual([])
    await uninstall({ engines: ['docker', 'podman'], paths })
    expect(filesUnder(prefix)).toEqual([path.join('var', 'log', 'spark-run', 'events.jsonl')])
    expect((await uninstall({ engines: ['docker'], paths })).outcome).toBe('not-installed')
  })
})

function guardPidOf(record: InstallRecord): number | undefined {
  const { guard } = record
  if (guard?.kind !== 'process') return undefined
  return readProcessIdentity(guard.pid)?.pid
}

/** All files below, relative, sorted; directories without files do not count but are looked for by the caller's rm. */
function filesUnder(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(directory, path.join(entry.parentPath, entry.name)))
    .sort()
}

/** A file system with one static busybox in it. */
function busyboxTar(): Buffer {
  const root = mkdtempSync(path.join(os.tmpdir(), 'busybox-'))
  try {
    mkdirSync(path.join(root, 'bin'))
    copyFileSync(findProgram('busybox') as string, path.join(root, 'bin/busybox'))
    return execFileSync('tar', ['-C', root, '-c', '.'], { maxBuffer: 64 << 20 })
  } finally {
    rmSync(root, { recursive: true })
  }
}

function isNativeBuilt(): boolean {
  try {
    computeProgramFiles(hostPaths('/nonexistent'))
    return true
  } catch {
    return false
  }
}
