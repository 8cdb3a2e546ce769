import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { CONFIG, makeRig, nativeMissing, type Rig, type RigOptions } from './runtime-rig.js'

const missing = nativeMissing()
const GIB = 1024 ** 3

let rig: Rig
const start = async (options?: RigOptions) => {
  rig = await makeRig(options)
}
afterEach(() => rig.close())

describe.skipIf(missing !== undefined)(`spark-hook${missing ? ` (skipped: ${missing})` : ''}`, () => {
  test('precreate refuses on stderr alone, with an event', async () => {
    await start({ guard: false })
    const { status, stdout, stderr } = rig.hook(
      ['precreate'],
      CONFIG.replace('"linux":{}', '"linux":{"cgroupsPath":"/p/libpod-ab"}'),
    )
    expect([status, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/^spark-run: the guard is not running/)
    expect(rig.events()).toMatchObject([{ type: 'refused', id: 'ab' }])
  })
  test('precreate twice changes nothing the second time', async () => {
    await start()
    const config = CONFIG.replace('"linux":{}', '"linux":{"cgroupsPath":"/p/libpod-ab"}')
    // Both runs need one living parent, as under Podman: the shell. /proc is the real one, so that it is seen to live.
    rig.writePlan(
      JSON.stringify({
        ...rig.plan(),
        paths: { ...(rig.plan().paths as object), procDir: '/proc' },
        host: { reserveBytes: 1, withholdBytes: 0 },
        budget: { defaultBytes: 1, minBytes: 1 },
      }),
    )
    writeFileSync(rig.at('in.json'), config)
    const hook = `${rig.at('usr/lib/spark-run/spark-hook')} precreate --plan ${rig.planFile}`
    const script = `cd ${rig.dir}; ${hook} <in.json >one.json && ${hook} <one.json >two.json; echo $?`
    expect(spawnSync('sh', ['-c', script], { encoding: 'utf8' })).toMatchObject({ stdout: '0\n', stderr: '' })
    expect(readFileSync(rig.at('one.json'), 'utf8')).toContain('io.spark-run.applied')
    expect(readFileSync(rig.at('two.json'), 'utf8')).toBe(readFileSync(rig.at('one.json'), 'utf8'))
  })
  test('precreate with a plan that cannot be used: a container without a GPU passes, one with a GPU is refused', async () => {
    await start()
    rig.writePlan('{')
    expect(rig.hook(['precreate', '--gpu-only'], CONFIG)).toMatchObject({ status: 0, stdout: CONFIG, stderr: '' })
    const gpu = CONFIG.replace('"PATH=/bin"', '"NVIDIA_VISIBLE_DEVICES=all"')
    const refused = rig.hook(['precreate', '--gpu-only'], gpu)
    expect(refused).toMatchObject({ status: 1, stdout: '' })
    expect(refused.stderr).toMatch(
      /^spark-run: the plan .* is not JSON: .*; write it anew with: spark-run install docker \(or podman\)$/m,
    )
    writeFileSync(rig.at('etc/spark-run/disabled'), '')
    expect(rig.hook(['precreate', '--gpu-only'], gpu)).toMatchObject({ status: 0, stdout: gpu, stderr: '' })
  })
  test('precreate without any id', async () => {
    await start()
    expect(rig.hook(['precreate'], CONFIG).stderr).toMatch(
      /does not say which container it is for: it has no linux\.cgroupsPath/,
    )
  })
  test('admit prints what was granted, or refuses with exit code 125', async () => {
    await start()
    const granted = rig.hook(['admit', '--id', 'x1', '--request', 'v1;budget=4294967296;priority=3', '--env', 'A=1'])
    expect(JSON.parse(granted.stdout)).toEqual({
      id: 'x1',
      budgetBytes: 4 * GIB,
      reserveBytes: 2 * GIB,
      engineBytes: 3.5 * GIB,
      priority: 3,
      ledger: rig.at('run/spark-run/ledgers/x1'),
    })
    const refused = rig.hook(['admit', '--id', 'x2', '--env', 'SPARK_RUN_BUDGET=11g'])
    expect(refused).toMatchObject({ status: 125, stdout: '' })
    expect(refused.stderr).toMatch(
      /^spark-run: a budget of 11\.0 GiB \(from SPARK_RUN_BUDGET\) does not fit: 10\.0 GiB is left/,
    )
  })
  test('admit sweeps what a create that died long ago has left', async () => {
    await start()
    rig.hook(['admit', '--id', 'young'])
    rig.hook(['admit', '--id', 'old'])
    const note = rig.at('run/spark-run/admitted/old')
    // Long ago, by a process that is gone.
    const text = readFileSync(note, 'utf8')
    writeFileSync(note, text.replace(/^pid=.*$/m, 'pid=4194305').replace(/^created_ns=.*$/m, 'created_ns=1'))
    rig.hook(['admit', '--id', 'new'])
    const left = (dir: string) => readdirSync(rig.at('run/spark-run', dir)).sort()
    expect(left('admitted')).toEqual(['new', 'young'])
    expect(left('ledgers')).toEqual(['new', 'young'])
  })
  test('a container that no carrier prepared is left alone', async () => {
    await start()
    const state = JSON.stringify({ ociVersion: '1.0.2', id: 'c1', pid: process.pid, status: 'creating', bundle: '/b' })
    expect(rig.hook(['createRuntime'], state)).toMatchObject({ status: 0, stdout: '', stderr: '' })
  })
  const state = (more: object) =>
    JSON.stringify({
      ociVersion: '1.0.2',
      id: 'c1',
      pid: 4194305,
      annotations: { 'io.spark-run.applied': '1' },
      ...more,
    })
  for (const [what, text, sentence] of [
    [
      'gone already',
      state({}),
      /^spark-run: container c1 is gone already \(its process 4194305 has ended\), so it is not registered$/,
    ],
    ['without a pid', state({ pid: undefined }), /^spark-run: the OCI state of container c1 has no pid$/],
    ['without an id', state({ id: undefined }), /^spark-run: the OCI state on stdin has no usable id$/],
    [
      'forged: a priority that no reader takes',
      state({ annotations: { 'io.spark-run.applied': '1', 'io.spark-run.priority': '4294967296' } }),
      /^spark-run: the annotation io\.spark-run\.priority is "4294967296", allowed: a whole number from -1000 to 1000$/,
    ],
    [
      'forged: a budget that is no number',
      state({ annotations: { 'io.spark-run.applied': '1', 'io.spark-run.budget-bytes': '9g' } }),
      /^spark-run: the annotation io\.spark-run\.budget-bytes is "9g", allowed: whole bytes below 2\^53$/,
    ],
    [
      'forged: an engine that would be cut',
      state({ annotations: { 'io.spark-run.applied': '1', 'io.spark-run.engine': 'an-engine-of-my-own' } }),
      /^spark-run: io\.spark-run\.engine is 19 characters long, the most is 15: "an-engine-of-my-own…"$/,
    ],
    ['not JSON', '{"id', /^spark-run: the OCI state on stdin is not JSON/],
    ['empty', '', /^spark-run: the OCI state on stdin is not JSON/],
  ] as const) {
    test(`createRuntime of a container that is ${what}`, async () => {
      await start()
      const { status, stderr } = rig.hook(['createRuntime'], text)
      expect(status).toBe(1)
      expect(stderr.trimEnd()).toMatch(sentence)
    })
  }
  test('poststop forgets registry entry, admission and ledger, and never fails', async () => {
    await start()
    rig.hook(['admit', '--id', 'c1'])
    expect(existsSync(rig.at('run/spark-run/ledgers/c1'))).toBe(true)
    expect(rig.hook(['poststop'], JSON.stringify({ id: 'c1', status: 'stopped' })).status).toBe(0)
    expect(existsSync(rig.at('run/spark-run/ledgers/c1'))).toBe(false)
    expect(existsSync(rig.at('run/spark-run/admitted/c1'))).toBe(false)
    for (const text of ['', '{}', '{"id":"../../etc/passwd"}']) expect(rig.hook(['poststop'], text).status).toBe(0)
    rmSync(rig.planFile)
    expect(rig.hook(['poststop'], '{"id":"c1"}').status).toBe(0)
  })
  for (const [args, sentence] of [
    [['nonsense'], /what to do is missing or unknown; allowed: prestart, createRuntime/],
    [['ledger'], /ledger needs --file FILE and --budget-bytes N above 0/],
    [['register'], /register needs --id ID .* and --pid N/],
    [['register', '--pid', '-1'], /--pid is "-1", allowed: a whole number from 0 to 2147483647/],
    [['register', '--id', 'a', '--pid', '4194305', '--pgid', '1'], /process 4194305 is gone already/],
    [
      ['register', '--id', 'a', '--pid', String(process.pid), '--pgid', '1', '--ledger', 'here'],
      /the registry entry of a would not be readable: the entry has ledger=here, which cannot be read/,
    ],
    [['register', '--priority', ' 1'], /--priority is " 1", allowed: a whole number from -1000 to 1000/],
    [['admit'], /admit needs --id ID/],
    [['admit', '--id', 'a', 'b'], /"b" is one argument too many/],
    [['admit', '--nonsense'], /unknown option or option without its value/],
  ] as const) {
    test(`${args.join(' ')} is one sentence`, async () => {
      await start()
      const { status, stdout, stderr } = rig.hook(args)
      expect(status).not.toBe(0)
      expect(stdout).toBe('')
      expect(stderr).toMatch(/^spark-run: [^\n]+\n$/)
      expect(stderr).toMatch(sentence)
    })
  }
})
