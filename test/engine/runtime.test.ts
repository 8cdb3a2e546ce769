import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { found, MIB, makeHost, missing, type TestHost } from './runtime-host.js'

/** crun: "cgroups in hybrid mode not supported, drop all controllers from cgroupv2". */
const HYBRID_REASON = 'crun does not run where cgroup v1 and v2 both have controllers'
function isHybrid(): boolean {
  const file = '/sys/fs/cgroup/unified/cgroup.controllers'
  return existsSync(file) && readFileSync(file, 'utf8').trim() !== ''
}

for (const name of ['runc', 'crun']) {
  const next = found(name)
  const reason = missing ?? (next === '' ? `no ${name}` : name === 'crun' && isHybrid() ? HYBRID_REASON : undefined)
  describe.skipIf(reason !== undefined)(`plain bundles on ${name}${reason ? ` (skipped: ${reason})` : ''}`, () => {
    let host: TestHost
    beforeAll(() => {
      host = makeHost(next)
    })
    afterEach(() => host.deleteAll())
    afterAll(() => host.close())

    test('create, start, exec, kill, delete: every edit is seen in the container, and nothing is left', async () => {
      const id = `spark-${name}-life`
      const bundle = host.makeBundle(id, { env: ['SPARK_RUN_REQUEST=v1;budget=209715200;priority=-7;name=life'] })
      expect(host.runtime('create', '--bundle', bundle, id)).toMatchObject({ status: 0 })
      const entry = host.registryEntry(id)
      const state = JSON.parse(host.runtime('state', id).stdout)
      expect(entry).toMatchObject({
        id,
        name: 'life',
        pid: String(state.pid),
        budget_bytes: String(200 * MIB),
        priority: '-7',
        ledger: path.join(host.paths.ledgerDir, id),
        end: '1',
      })
      expect(existsSync(path.join(host.paths.runDir, 'admitted', id))).toBe(false)
      const cgroups = [entry.cgroup_v2, entry.cgroup_memory, entry.cgroup_freezer].filter((dir) => dir)
      expect(cgroups.length).toBeGreaterThan(0)
      for (const cgroup of cgroups) {
        expect(readFileSync(`${cgroup}/cgroup.procs`, 'utf8').split('\n')).toContain(String(state.pid))
      }

      expect(host.runtime('start', id).status).toBe(0)
      const exec = (...args: string[]) => host.runtime('exec', id, ...args).stdout
      // `start` answers before the container's init has become the program: until then it has no environment.
      const environment = () => readFileSync(`/proc/${state.pid}/environ`, 'utf8').split('\0')
      await expect.poll(environment, { timeout: 20_000 }).toContain(`ENGINE_BYTES=${188743680}`)
      expect(exec('cat', '/etc/ld.so.preload')).toBe('/usr/lib/spark-run/libspark-shim.so\n/opt/of-the-image.so\n')
      expect(exec('sh', '-c', 'touch /usr/lib/spark-run/x 2>/dev/null; echo $?')).toBe('1\n')
      expect(exec('sh', '-c', 'head -c 8 /usr/lib/spark-run/ledger')).toBe('SPRKLDG1')
      const write = ['sh', '-c', ': >>/usr/lib/spark-run/ledger; echo $?']
      expect(exec(...write)).toBe('0\n')
      expect(host.runtime('exec', '--user', '1000:1000', id, ...write).stdout).toBe('0\n')
      expect(exec('cat', '/proc/1/oom_score_adj')).toBe('500\n')
      expect(exec('sh', '-c', 'ulimit -H -t')).toBe('unlimited\n')
      const limit = entry.cgroup_memory
        ? readFileSync(`${entry.cgroup_memory}/memory.limit_in_bytes`, 'utf8')
        : readFileSync(`${entry.cgroup_v2}/memory.max`, 'utf8')
      expect(Number(limit)).toBe(200 * MIB)

      expect(host.runtime('kill', id, 'KILL').status).toBe(0)
      host.waitUntilStopped(id)
      expect(host.runtime('delete', id).status).toBe(0)
      expect(existsSync(path.join(host.paths.registryDir, id))).toBe(false)
      expect(existsSync(path.join(host.paths.ledgerDir, id))).toBe(false)
    })

    test('a bundle is started a second time, under another id, with the same budget', () => {
      const first = `spark-${name}-again1`
      const second = `spark-${name}-again2`
      const bundle = host.makeBundle(first, { env: ['SPARK_RUN_BUDGET=100m'], args: ['cat', '/etc/ld.so.preload'] })
      for (const id of [first, second]) {
        const run = host.runtime('run', '--bundle', bundle, id)
        expect(run).toMatchObject({ status: 0, stdout: '/usr/lib/spark-run/libspark-shim.so\n/opt/of-the-image.so\n' })
        expect(existsSync(path.join(host.paths.ledgerDir, id))).toBe(false)
      }
      expect(readFileSync(path.join(bundle, 'config.json'), 'utf8')).toContain(`/ledgers/${second}`)
    })

    test('in a user namespace whose root is nobody on the host the ledger is there and writable', () => {
      const id = `spark-${name}-userns`
      const show =
        'head -c 8 /usr/lib/spark-run/ledger; : >>/usr/lib/spark-run/ledger; echo " $?"; cat /proc/self/uid_map'
      const bundle = host.makeBundle(id, { args: ['sh', '-c', show], rootOnHost: 100_000 })
      const { status, stdout, stderr } = host.runtime('run', '--bundle', bundle, id)
      expect(stderr).toBe('')
      expect(stdout).toMatch(/^SPRKLDG1 0\n +0 +100000 +65536\n$/)
      expect(status).toBe(0)
      expect(statSync(host.paths.ledgerDir).mode & 0o777).toBe(0o700)
    })

    test('exit codes and stdout of run are those of the next runtime', () => {
      const id = `spark-${name}-exit`
      const bundle = host.makeBundle(id, { args: ['sh', '-c', 'echo out; echo err >&2; exit 42'] })
      expect(host.runtime('run', '--bundle', bundle, id)).toMatchObject({ status: 42, stdout: 'out\n' })
    })

    test('of two at once that do not fit together exactly one is created', async () => {
      const ids = [`spark-${name}-race1`, `spark-${name}-race2`, `spark-${name}-race3`]
      const budget = Math.floor(host.shareBytes * 0.6)
      const creates = ids.map((id) => {
        const bundle = host.makeBundle(id, { env: [`SPARK_RUN_REQUEST=v1;budget=${budget}`] })
        return host.runtimeAsync('create', '--bundle', bundle, id)
      })
      const outcomes = await Promise.all(creates)
      try {
        expect(outcomes.filter(({ status }) => status === 0)).toHaveLength(1)
        for (const { status, stderr } of outcomes) {
          if (status !== 0) expect(stderr).toMatch(/^spark-run: a budget of .* does not fit: .* held by spark-/)
        }
      } finally {
        for (const id of ids) host.runtime('delete', '--force', id)
      }
    })

    test('a next runtime that fails to create leaves no entry that holds memory', () => {
      const id = `spark-${name}-fail`
      const bundle = host.makeBundle(id, {
        args: ['/no/such/program'],
        env: [`SPARK_RUN_REQUEST=v1;budget=${host.shareBytes}`],
      })
      const broken = readFileSync(path.join(bundle, 'config.json'), 'utf8').replace('"rootfs"', '"no-rootfs"')
      writeFileSync(path.join(bundle, 'config.json'), broken)
      expect(host.runtime('create', '--bundle', bundle, id).status).not.toBe(0)
      const next = host.makeBundle(`${id}2`, {
        args: ['true'],
        env: [`SPARK_RUN_REQUEST=v1;budget=${host.shareBytes}`],
      })
      expect(host.runtime('run', '--bundle', next, `${id}2`)).toMatchObject({ status: 0, stderr: '' })
    })
  })
}

const podmanReason = missing ?? (found('podman') === '' ? 'no podman' : found('runc') === '' ? 'no runc' : undefined)

describe.skipIf(podmanReason !== undefined)(
  `Podman with the precreate hook${podmanReason ? ` (skipped: ${podmanReason})` : ''}`,
  () => {
    let host: TestHost
    beforeAll(() => {
      host = makeHost(found('runc'))
      const hook = {
        version: '1.0.0',
        hook: {
          path: path.join(host.paths.libDir, 'spark-hook'),
          args: ['spark-hook', 'precreate', '--plan', host.paths.planFile, '--gpu-only'],
        },
        when: { always: true },
        stages: ['precreate'],
      }
      mkdirSync(path.join(host.paths.prefix, 'hooks.d'))
      writeFileSync(path.join(host.paths.prefix, 'hooks.d/spark.json'), JSON.stringify(hook))
      host.makeBundle('podman')
    })
    afterAll(() => {
      // Podman leaves its storage mounted on itself.
      spawnSync('umount', [path.join(host.paths.prefix, 'storage/overlay')])
      host.close()
    })

    const podman = (...args: string[]) => {
      const at = (name: string) => path.join(host.paths.prefix, name)
      const places = ['--root', at('storage'), '--runroot', at('runroot'), '--hooks-dir', at('hooks.d')]
      const settings = ['--cgroup-manager', 'cgroupfs', '--runtime', 'runc']
      const run = ['run', '--rm', '--network', 'none', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024']
      return spawnSync('podman', [...places, ...settings, ...run, ...args], { encoding: 'utf8', timeout: 60_000 })
    }
    const rootfs = () => path.join(host.paths.prefix, 'bundles/podman/rootfs')
    const show =
      'cat /etc/ld.so.preload; echo $ENGINE_BYTES; cat /proc/1/oom_score_adj; head -c 8 /usr/lib/spark-run/ledger'

    test('a container that asks for a budget gets every edit and is forgotten after', () => {
      const { status, stdout } = podman('-e', 'SPARK_RUN_BUDGET=100m', '--rootfs', rootfs(), 'sh', '-c', show)
      expect(stdout).toBe('/usr/lib/spark-run/libspark-shim.so\n/opt/of-the-image.so\n94371840\n500\nSPRKLDG1')
      expect(status).toBe(0)
      for (const dir of [host.paths.registryDir, host.paths.ledgerDir, path.join(host.paths.runDir, 'admitted')]) {
        expect(readdirSync(dir), dir).toEqual([])
      }
    })

    test('a container without a GPU and without a wish is left alone', () => {
      const { status, stdout } = podman('--rootfs', rootfs(), 'sh', '-c', 'cat /etc/ld.so.preload; echo $ENGINE_BYTES')
      expect([status, stdout]).toEqual([0, '/opt/of-the-image.so\n\n'])
    })

    test('a budget that does not fit is refused, and the event log says why', () => {
      expect(podman('-e', 'SPARK_RUN_BUDGET=100t', '--rootfs', rootfs(), 'true').status).toBe(126)
      expect(JSON.parse(readFileSync(host.paths.eventsFile, 'utf8').trimEnd().split('\n').at(-1) ?? '')).toMatchObject({
        type: 'refused',
        id: expect.stringMatching(/^[0-9a-f]{64}$/),
        sentence: expect.stringMatching(/^a budget of 100\.0 TiB \(from SPARK_RUN_BUDGET\) does not fit/),
      })
    })
  },
)
