import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
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
import { afterEach, describe, expect, it } from 'vitest'
import { type PrivateDockerd, startPrivateDockerd } from '../../src/engines/private-dockerd.js'
import { computeMissingForDockerd, findProgram, readDockerdGround } from '../../src/engines/private-dockerd-needs.js'

const missing = [
  ...computeMissingForDockerd(readDockerdGround()),
  ...(findProgram('busybox') === undefined ? ['the program busybox is not installed'] : []),
  ...(findProgram('docker') === undefined ? ['the program docker is not installed'] : []),
]

/** A tar archive of a file system with one static busybox in it. */
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

/** Every process, mount and shim socket that names the daemon's directory. */
function tracesOf(dir: string): string[] {
  const processes = readdirSync('/proc').filter((entry) => {
    try {
      return /^\d+$/.test(entry) && readFileSync(`/proc/${entry}/cmdline`, 'utf8').includes(`${dir}/`)
    } catch {
      return false
    }
  })
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => line.includes(`${dir}/`))
  return [...processes, ...mounts, ...(existsSync(dir) ? [dir] : [])]
}

/** What a daemon makes outside of its directory. */
function fixedPlaces(): string[] {
  return ['/etc/docker', '/opt/containerd', '/run/containerd', '/run/docker']
    .filter((dir) => existsSync(dir))
    .flatMap((dir) => [dir, ...(readdirSync(dir, { recursive: true }) as string[]).map((name) => path.join(dir, name))])
}

describe.skipIf(missing.length > 0)(
  `a private Docker daemon${missing.length > 0 ? ` (skipped: ${missing.join('; ')})` : ''}`,
  () => {
    let dockerd: PrivateDockerd | undefined
    const lines: string[] = []
    afterEach(async () => {
      await dockerd?.stop()
      dockerd = undefined
    })

    async function startWithImage() {
      lines.length = 0
      dockerd = await startPrivateDockerd({ log: (line) => lines.push(line) })
      const env = { ...process.env, ...dockerd.env }
      execFileSync('docker', ['import', '-', 'busybox:test'], { env, input: busyboxTar() })
      return { dockerd, dir: path.dirname(dockerd.socket), env }
    }

    it('runs a container and leaves nothing', async () => {
      const before = fixedPlaces()
      const started = await startWithImage()
      const run = ['run', '--rm', 'busybox:test', '/bin/busybox', 'echo', 'hello']
      expect(execFileSync('docker', run, { env: started.env, encoding: 'utf8' })).toBe('hello\n')
      execFileSync('docker', ['run', '-d', 'busybox:test', '/bin/busybox', 'sleep', '600'], { env: started.env })
      await started.dockerd.stop()
      await started.dockerd.stop()
      expect(tracesOf(started.dir)).toEqual([])
      expect(fixedPlaces()).toEqual(before)
      expect(lines.filter((line) => line.startsWith('could not'))).toEqual([])
    })

    it('learns a runtime by reload', async () => {
      const started = await startWithImage()
      writeFileSync(started.dockerd.configFile, JSON.stringify({ runtimes: { other: { path: findProgram('runc') } } }))
      started.dockerd.reload()
      const docker = await started.dockerd.docker()
      await expect.poll(async () => Object.keys((await docker.info()).Runtimes), { timeout: 10_000 }).toContain('other')
    })

    it('cleans up even after the daemon itself was killed', async () => {
      const before = fixedPlaces()
      const started = await startWithImage()
      execFileSync('docker', ['run', '-d', 'busybox:test', '/bin/busybox', 'sleep', '600'], { env: started.env })
      const [id] = readdirSync(path.join(started.dockerd.dataRoot, 'containers')) as [string]
      process.kill(started.dockerd.pid, 'SIGKILL')
      await started.dockerd.stop()
      expect(tracesOf(started.dir)).toEqual([])
      expect(fixedPlaces()).toEqual(before)
      const cgroups = readdirSync('/sys/fs/cgroup').map((name) => `/sys/fs/cgroup/${name}/docker/${id}`)
      expect(cgroups.filter((dir) => existsSync(dir))).toEqual([])
    })

    it("takes containerd's own record of its stacks along", async () => {
      const started = await startWithImage()
      const pidFile = path.join(started.dockerd.execRoot, 'containerd/containerd.pid')
      // What dockerd asks for when containerd is slow to answer.
      process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGUSR1')
      const dumps = () => readdirSync(started.dockerd.temporaryDir).filter((name) => name.endsWith('.stacks.log'))
      await expect.poll(dumps, { timeout: 10_000 }).toHaveLength(1)
      await started.dockerd.stop()
      expect(tracesOf(started.dir)).toEqual([])
    })

    it('says why it cannot start, in the words of the daemon', async () => {
      await expect(startPrivateDockerd({ extraConfig: { 'no-such-key': true } })).rejects.toThrow(
        /the private Docker daemon ended at once: .*no-such-key/,
      )
    })
  },
)
