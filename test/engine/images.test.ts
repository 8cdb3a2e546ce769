import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type PrivateDockerd, startPrivateDockerd } from '../../src/engines/private-dockerd.js'
import { computeMissingForDockerd, findProgram, readDockerdGround } from '../../src/engines/private-dockerd-needs.js'
import { ExpectedError } from '../../src/errors.js'
import { nativeBuildDir } from '../../src/host/package-files.js'
import { buildImage } from '../../src/images/build.js'
import { imageTag } from '../../src/images/image.js'
import { prepareMaxRoot } from '../../src/images/max-root.js'
import { importIntoPodman } from '../../src/images/podman.js'

const missing = [
  ...computeMissingForDockerd(readDockerdGround()),
  ...(findProgram('docker') === undefined ? ['the program docker is not installed'] : []),
]
const skipped = (reasons: string[]) => (reasons.length > 0 ? ` (skipped: ${reasons.join('; ')})` : '')

/** A simulated GB10 small enough that a test never takes more; each process counts for itself, whatever else runs here. */
const SIM_DIR = path.join(nativeBuildDir(), 'sim')
const MACHINE = [
  ...['-v', `${SIM_DIR}:/sim:ro`, '-e', 'LD_LIBRARY_PATH=/sim'],
  ...['-e', 'SPARK_SIM_TOTAL=768m', '-e', 'SPARK_SIM_PAGES=anonymous', '--network=none'],
]

interface EngineEvent {
  event: string
  [field: string]: unknown
}

/** The JSON lines that a program printed; MAX prints notes of its own between them. */
function events(output: string): EngineEvent[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith('{"event"'))
    .map((line) => JSON.parse(line) as EngineEvent)
}

/** Why the real MAX cannot be had here, or nothing. Asks for its files once; they are kept in the cache. */
const maxMissing = missing.length > 0 ? [] : await whyNoMax()
async function whyNoMax(): Promise<string[]> {
  try {
    await prepareMaxRoot({})
    return []
  } catch (error) {
    if (error instanceof ExpectedError) return [error.message]
    throw error
  }
}

describe.skipIf(missing.length > 0)(`images on Docker${skipped(missing)}`, () => {
  let dockerd: PrivateDockerd
  const docker = (...args: string[]) =>
    spawnSync('docker', args, { env: { ...process.env, ...dockerd.env }, encoding: 'utf8' })

  beforeAll(async () => {
    dockerd = await startPrivateDockerd()
  })
  afterAll(async () => {
    await dockerd?.stop()
  })

  it('makes the greedy engine, which sees the machine and takes its share', async () => {
    const tag = await buildImage(await dockerd.docker(), 'greedy')
    expect(tag).toBe(imageTag('greedy'))
    const run = docker('run', '--rm', ...MACHINE, tag, '--json')
    expect(run.stderr).toBe('')
    expect(run.status).toBe(0)
    const told = events(run.stdout)
    expect(told[0]).toMatchObject({ event: 'saw', totalBytes: 768 << 20, nvmlTotalBytes: 768 << 20 })
    expect(told.at(-1)).toEqual({ event: 'done', bytes: Math.floor((0.9 * 768) / 2) * 2 * 2 ** 20 })
  })

  it('gives the greedy image a shell to look around with, and a clear sentence where there is no driver', () => {
    const shell = docker(
      'run',
      '--rm',
      '--network=none',
      '--entrypoint',
      '/bin/sh',
      imageTag('greedy'),
      '-c',
      'cat /proc/1/comm',
    )
    expect(shell.stdout).toBe('cat\n')
    const run = docker('run', '--rm', '--network=none', imageTag('greedy'))
    expect(run.status).toBe(1)
    expect(run.stderr).toMatch(/^greedy: no CUDA driver: libcuda\.so\.1 cannot be opened .*\n$/)
  })

  it('sends nothing when the image is there already', async () => {
    const lines: string[] = []
    const before = docker('image', 'inspect', '--format', '{{.Id}}', imageTag('greedy')).stdout
    await buildImage(await dockerd.docker(), 'greedy', { log: (line) => lines.push(line) })
    expect(lines).toEqual([])
    expect(docker('image', 'inspect', '--format', '{{.Id}}', imageTag('greedy')).stdout).toBe(before)
  })

  it('makes the guard, and a volume mounted over its directory is filled with the libraries', async () => {
    const tag = await buildImage(await dockerd.docker(), 'guard')
    const volume = docker('volume', 'create').stdout.trim()
    expect(docker('create', '-v', `${volume}:/usr/lib/spark-run`, '--network=none', tag).status).toBe(0)
    const listed = docker(
      ...['run', '--rm', '--network=none', '-v', `${volume}:/lib-dir:ro`, '--entrypoint', '/bin/ls'],
      ...[imageTag('greedy'), '/lib-dir'],
    )
    expect(listed.stdout.trim().split('\n')).toEqual([
      'libspark-cuda.so',
      'libspark-nvml.so',
      'libspark-shim.so',
      'spark-guard',
      'spark-hook',
    ])
    const inspected = JSON.parse(docker('image', 'inspect', tag).stdout) as [{ Config: { Entrypoint: string[] } }]
    expect(inspected[0].Config.Entrypoint).toEqual(['/usr/lib/spark-run/spark-guard'])
  })

  it('says what is not built, and how to build it', async () => {
    const nowhere = mkdtempSync(path.join(os.tmpdir(), 'spark-'))
    try {
      const failure = await buildImage(await dockerd.docker(), 'guard', { nativeDir: nowhere }).catch((e: unknown) => e)
      expect(failure).toBeInstanceOf(ExpectedError)
      expect(failure).toMatchObject({ code: 'NATIVE_MISSING', hint: 'Build it: npm run build' })
    } finally {
      rmSync(nowhere, { recursive: true })
    }
  })

  it.skipIf(maxMissing.length > 0)(
    `runs the real MAX on the simulator: it plans, allocates, and is refused cleanly${skipped(maxMissing)}`,
    async () => {
      const tag = await buildImage(await dockerd.docker(), 'max')
      const run = docker('run', '--rm', ...MACHINE, tag, '--json')
      expect(run.status, run.stderr).toBe(0)
      const told = events(run.stdout)
      expect(told[0]).toEqual({ event: 'saw', totalBytes: 768 << 20, freeBytes: 768 << 20 })
      expect(told[1]).toMatchObject({ event: 'stats', version: '26.7.0' })
      expect(told.filter(({ event }) => event === 'got')).toHaveLength(3)
      expect(told.at(-2)).toMatchObject({ event: 'refused', error: 2, name: 'CUDA_ERROR_OUT_OF_MEMORY' })
      expect(told.at(-1)).toEqual({ event: 'done', bytes: 768 << 20 })
    },
  )
})

const podmanMissing = [
  ...(process.getuid?.() === 0 ? [] : ['it needs root']),
  ...['podman', 'runc'].filter((name) => findProgram(name) === undefined).map((name) => `${name} is not installed`),
]

describe.skipIf(podmanMissing.length > 0)(`images on Podman${skipped(podmanMissing)}`, () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'spark-'))
  const storage = ['--root', path.join(dir, 'root'), '--runroot', path.join(dir, 'run'), '--storage-driver', 'vfs']
  mkdirSync(path.join(dir, 'root'))

  afterAll(() => {
    spawnSync('podman', [...storage, 'rmi', '--all', '--force'])
    rmSync(dir, { recursive: true, force: true })
  })

  it('makes the greedy engine without a Docker daemon, once', async () => {
    const lines: string[] = []
    const options = { podmanArgs: storage, log: (line: string) => lines.push(line) }
    const tag = await importIntoPodman('greedy', options)
    expect(await importIntoPodman('greedy', options)).toBe(tag)
    expect(lines).toEqual([`making the image ${tag}`])
    const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024']
    const output = execFileSync(
      'podman',
      [...storage, '--runtime', 'runc', 'run', '--rm', ...limits, ...MACHINE, tag, '--json', '--percent', '50'],
      { encoding: 'utf8' },
    )
    expect(events(output).at(-1)).toEqual({ event: 'done', bytes: 384 << 20 })
  })
})
