import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { nativeBuildDir } from '../../src/host/package-files.js'
import { makeRig, nativeMissing, type Rig } from './runtime-rig.js'

const reason =
  process.getuid?.() !== 0
    ? 'not root'
    : spawnSync('setpriv', ['--version']).status !== 0
      ? 'no setpriv(1) to be another user with'
      : nativeMissing()

const asNobody = (program: string, ...args: string[]) =>
  spawnSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', program, ...args], { encoding: 'utf8' })

describe.skipIf(reason !== undefined)(`what only root opens${reason ? ` (skipped: ${reason})` : ''}`, () => {
  let rig: Rig
  let guard: ChildProcess | undefined
  beforeEach(async () => {
    rig = await makeRig({ guard: false })
    chmodSync(rig.dir, 0o755)
  })
  afterEach(async () => {
    if (guard !== undefined && guard.exitCode === null) {
      guard.kill('SIGTERM')
      await once(guard, 'exit')
    }
    rig.close()
  })

  async function startGuard(): Promise<void> {
    const places = ['--run-dir', rig.runDir, '--log-dir', rig.at('var/log/spark-run')]
    const program = path.join(nativeBuildDir(), 'spark-guard')
    guard = spawn(program, [...places, '--reserve-bytes', '1048576', '--ready-fd', '1'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    if (guard.stdout !== null) await once(guard.stdout, 'data')
  }
  const at = (name: string) => path.join(rig.runDir, name)
  const mode = (name: string) => (statSync(at(name)).mode & 0o777).toString(8)
  const canOpen = (name: string) => asNobody('sh', '-c', `exec 3<"$0"`, at(name)).status === 0

  for (const before of [false, true]) {
    test(`another user opens no lock and no ledger${before ? ', where an older version had left them open' : ''}`, async () => {
      if (before) {
        for (const dir of ['ledgers', 'admitted']) mkdirSync(at(dir), { mode: 0o755 })
        for (const file of ['guard.lock', 'admission.lock']) writeFileSync(at(file), '', { mode: 0o644 })
      }
      await startGuard()
      expect(mode('ledgers')).toBe('700')
      expect(rig.hook(['admit', '--id', 'c1'])).toMatchObject({ status: 0, stderr: '' })
      expect(['guard.lock', 'admission.lock', 'ledgers', 'admitted', 'ledgers/c1'].map(mode)).toEqual([
        ...['600', '600', '700', '700'],
        // For whoever is the user inside the container; the engine mounts it from outside.
        '666',
      ])
      expect(canOpen('guard.state')).toBe(true)
      for (const name of ['guard.lock', 'admission.lock', 'ledgers', 'ledgers/c1', 'admitted/c1']) {
        expect(existsSync(at(name)), name).toBe(true)
        expect(canOpen(name), name).toBe(false)
        expect(asNobody('flock', '--nonblock', at(name), 'true').status, name).not.toBe(0)
      }
    })
  }

  test('another user is told what is closed to it, and not that there is no guard', async () => {
    await startGuard()
    expect(rig.hook(['admit', '--id', 'c1']).status).toBe(0)
    const refused = asNobody(rig.at('usr/lib/spark-run/spark-hook'), 'admit', '--plan', rig.planFile, '--id', 'c2')
    expect(refused.stderr).toMatch(/^spark-run: .*\/ledgers cannot be opened .*: Permission denied\n$/)
  })
})
