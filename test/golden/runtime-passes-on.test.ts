import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { CONFIG, makeRig, nativeMissing, type Rig, type RigOptions } from './runtime-rig.js'

const missing = nativeMissing()

let rig: Rig
const start = async (options?: RigOptions) => {
  rig = await makeRig(options)
}
afterEach(() => rig.close())

describe.skipIf(missing !== undefined)(`spark-runtime passes on${missing ? ` (skipped: ${missing})` : ''}`, () => {
  test('a config.json of 1 MB, edited', async () => {
    await start()
    const large = CONFIG.replace('"PATH=/bin"', `"PATH=/bin","LARGE=${'y'.repeat(1024 ** 2)}"`)
    expect(rig.create(large).status).toBe(0)
    expect(readFileSync(rig.at('bundle/config.json'), 'utf8')).toContain('"io.spark-run.applied":"1"')
  })
  test('mode of config.json is kept', async () => {
    await start()
    const bundle = rig.writeBundle(CONFIG)
    chmodSync(rig.at('bundle/config.json'), 0o640)
    rig.runtime(['create', '-b', bundle, 'c1'])
    expect(statSync(rig.at('bundle/config.json')).mode & 0o777).toBe(0o640)
    expect(readlinkSync(rig.at('run/spark-run/next-runtime'))).toBe(rig.at('next'))
  })
  test('the bundle is the working directory unless one is given', async () => {
    await start()
    expect(rig.runtime(['create', 'c1'], { cwd: rig.writeBundle(CONFIG) }).status).toBe(0)
    expect(readFileSync(rig.at('bundle/config.json'), 'utf8')).toContain('io.spark-run.applied')
  })
  test('the merged ld.so.preload has our line first and each of the image once', async () => {
    await start()
    const shim = '/usr/lib/spark-run/libspark-shim.so'
    rig.runtime(['create', '-b', rig.writeBundle(CONFIG, `/opt/a.so\n${shim}\n/opt/b.so`), 'c1'])
    const config = JSON.parse(readFileSync(rig.at('bundle/config.json'), 'utf8'))
    const mount = config.mounts.find((m: { destination: string }) => m.destination === '/etc/ld.so.preload')
    expect(readFileSync(mount.source, 'utf8')).toBe(`${shim}\n/opt/a.so\n/opt/b.so\n`)
  })
  test('a link in the image is followed inside the image, never on the host', async () => {
    await start()
    writeFileSync(rig.at('secret'), 'host secret\n')
    const bundle = rig.writeBundle(CONFIG)
    symlinkSync(rig.at('secret'), rig.at('bundle/rootfs/etc/ld.so.preload'))
    rig.runtime(['create', '-b', bundle, 'c1'])
    expect(readFileSync(rig.at('bundle/config.json'), 'utf8')).toContain(
      `"source":"${rig.dir}/usr/lib/spark-run/ld.so.preload"`,
    )
    expect(existsSync(rig.at('run/spark-run/preload'))).toBe(false)
  })
  test('every verb but create and run, without touching anything', async () => {
    await start({ guard: false })
    for (const verb of ['state', 'start', 'kill', 'delete', 'exec', 'features', 'novel-verb']) {
      const { status, stderr, nextArgs } = rig.runtime(['--root', 'R', verb, 'c1', '--', '--bundle', 'x'])
      expect([status, stderr, nextArgs]).toEqual([0, '', ['--root', 'R', verb, 'c1', '--', '--bundle', 'x']])
    }
    expect(readdirSync(rig.runDir)).toEqual([])
    expect(rig.events()).toEqual([])
  })
  test('restore, which is no admission, with a warning', async () => {
    await start({ guard: false })
    const args = ['restore', '--image-path', 'I', '--bundle', 'B', 'c1']
    expect(rig.runtime(args)).toMatchObject({ status: 0, stderr: '', nextArgs: args })
    expect(rig.events()).toMatchObject([
      { type: 'warning', id: 'c1', sentence: expect.stringMatching(/^the container is restored from a checkpoint/) },
    ])
    writeFileSync(rig.at('etc/spark-run/disabled'), '')
    expect(rig.runtime(args).status).toBe(0)
    expect(rig.events()).toHaveLength(1)
  })
  test('create with options of a later runtime: their values are not the id', async () => {
    await start()
    const args = ['create', '--pidfd-socket', 'S', '--later', 'L', '--bundle', rig.writeBundle(CONFIG), 'c1']
    expect(rig.runtime(args)).toMatchObject({ status: 0, stderr: '', nextArgs: args })
    expect(readdirSync(rig.at('run/spark-run/admitted'))).toEqual(['c1'])
  })
  test('everything while the kill switch is there', async () => {
    await start({ guard: false })
    writeFileSync(rig.at('etc/spark-run/disabled'), '')
    expect(rig.create()).toMatchObject({ status: 0, stderr: '' })
    expect(readFileSync(rig.at('bundle/config.json'), 'utf8')).toBe(CONFIG)
  })
  test('a guard that is missing where the plan only warns', async () => {
    await start({ guard: false, plan: { onGuardMissing: 'warn' } })
    expect(rig.create().status).toBe(0)
    expect(rig.events()).toMatchObject([
      { type: 'warning', id: 'c1', sentence: expect.stringMatching(/nobody protects this host$/) },
    ])
  })
  for (const [what, spoil] of [
    ['of another version', () => rig.writePlan(JSON.stringify({ ...rig.plan(), planVersion: 9 }))],
    ['gone', () => rmSync(rig.planFile)],
    ['torn', () => rig.writePlan('{"planVersion":1,"nextR')],
  ] as const) {
    test(`delete with a plan that is ${what}, to the runtime of last time`, async () => {
      await start()
      expect(rig.create().status).toBe(0)
      spoil()
      expect(rig.runtime(['delete', '--force', 'c1'])).toMatchObject({
        status: 0,
        nextArgs: ['delete', '--force', 'c1'],
      })
      expect(rig.runtime(['create', '-b', rig.at('bundle'), 'c9']).status).toBe(1)
    })
  }
})
