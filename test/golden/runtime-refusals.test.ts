import { spawn } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { CONFIG, makeRig, nativeMissing, type Outcome, type Rig, type RigOptions } from './runtime-rig.js'

const missing = nativeMissing()
const GIB = 1024 ** 3

let rig: Rig
const start = async (options?: RigOptions) => {
  rig = await makeRig(options)
}
afterEach(() => rig.close())

const configWith = (env: string[]) =>
  CONFIG.replace('"PATH=/bin"', ['PATH=/bin', ...env].map((e) => JSON.stringify(e)).join())

const logged = () => JSON.parse(readFileSync(rig.at('log'), 'utf8')) as Record<string, string>

/** A refusal is heard in three places, silent on stdout, and leaves no trace. */
function expectRefused(outcome: Outcome, sentence: string | RegExp, { event = true, config = CONFIG } = {}) {
  const line = outcome.stderr.trimEnd()
  expect(line).toMatch(/^spark-run: [^\n]+$/)
  const said = line.slice('spark-run: '.length)
  if (typeof sentence === 'string') expect(said.replaceAll(rig.dir, '@ROOT@')).toBe(sentence)
  else expect(said).toMatch(sentence)
  expect(outcome.status).toBe(1)
  expect(outcome.stdout).toBe('')
  expect(outcome.nextArgs).toBeUndefined()
  expect(logged()).toMatchObject({ level: 'error', msg: line, time: expect.stringMatching(/^\d{4}-.*Z$/) })
  if (event) expect(rig.events().at(-1)).toMatchObject({ schemaVersion: 1, type: 'refused', sentence: said })
  const file = rig.at('bundle/config.json')
  if (existsSync(file)) expect(readFileSync(file, 'utf8')).toBe(config)
  for (const left of ['ledgers/c1', 'admitted/c1', 'containers/c1']) {
    expect(existsSync(rig.at('run/spark-run', left)), left).toBe(false)
  }
  expect(readdirSync(rig.at('bundle')).filter((name) => name.endsWith('.tmp'))).toEqual([])
}

describe.skipIf(missing !== undefined)(`spark-runtime refuses${missing ? ` (skipped: ${missing})` : ''}`, () => {
  test('a budget over what is left, saying who holds what', async () => {
    await start()
    const admitted = rig.hook(['admit', '--id', 'a1', '--request', 'v1;name=vllm;budget=8589934592'])
    expect(admitted.status).toBe(0)
    const config = configWith(['SPARK_RUN_BUDGET=9g'])
    expectRefused(
      rig.create(config),
      "a budget of 9.0 GiB (from SPARK_RUN_BUDGET) does not fit: 6.0 GiB is left of 16.0 GiB, less the host's reserve of " +
        '2.0 GiB and what is held by vllm 8.0 GiB; ask for at most 6144m with --budget or SPARK_RUN_BUDGET, or stop another container',
      { config },
    )
  })
  test('a reserve of its own that leaves nothing, saying whose it is', async () => {
    await start()
    const config = configWith([`SPARK_RUN_REQUEST=v1;budget=${GIB};reserve=${100 * GIB}`])
    expectRefused(
      rig.create(config),
      'a budget of 1.0 GiB (from --budget) does not fit: nothing is left of 16.0 GiB, less the reserve of 100.0 GiB from --reserve; ' +
        'ask for less with --reserve',
      { config },
    )
  })
  test('when nothing is left', async () => {
    await start()
    rig.hook(['admit', '--id', 'a1', '--request', `v1;budget=${14 * GIB}`])
    expectRefused(
      rig.create(),
      "a budget of 4.0 GiB (from budget.default) does not fit: nothing is left of 16.0 GiB, less the host's reserve of 2.0 GiB " +
        'and what is held by a1 14.0 GiB; stop another container first',
    )
  })
  for (const [env, sentence] of [
    [
      'MAX_MEMORY_LIMIT_GB=40x',
      `the container's MAX_MEMORY_LIMIT_GB: "40x" is not a size: write 40g, 512m, plain bytes or 30%`,
    ],
    ['SPARK_RUN_REQUEST=v1;budget=9g', 'SPARK_RUN_REQUEST has budget=9g, allowed: whole bytes above 0'],
    [
      'SPARK_RUN_REQUEST=v1;bugdet=9',
      'SPARK_RUN_REQUEST has bugdet=9, allowed: the fields id, budget, reserve, priority and name',
    ],
    ['SPARK_RUN_REQUEST=v1;name=a;name=b', 'SPARK_RUN_REQUEST has name twice'],
    ['SPARK_RUN_REQUEST=v2;budget=9', 'SPARK_RUN_REQUEST begins with "v2", allowed: v1'],
    [
      'SPARK_RUN_REQUEST=v1;priority=1001',
      'SPARK_RUN_REQUEST has priority=1001, allowed: a whole number from -1000 to 1000',
    ],
    [
      'SPARK_RUN_BUDGET=1m',
      'a budget of 1.0 MiB (from SPARK_RUN_BUDGET) is less than a container needs here (budget.min 256.0 MiB); ask for more with --budget or SPARK_RUN_BUDGET',
    ],
  ] as const) {
    test(env, async () => {
      await start()
      const config = configWith([env])
      expectRefused(rig.create(config), sentence, { config })
    })
  }
  test('more than one container may have', async () => {
    await start({
      plan: { budget: { defaultBytes: null, maxBytes: 2 * GIB, minBytes: 1, wishes: [{ env: 'B', unitBytes: GIB }] } },
    })
    const config = configWith(['B=3'])
    expectRefused(
      rig.create(config),
      'a budget of 3.0 GiB (from B) is more than one container may have here (budget.max 2.0 GiB); ask for less with --budget or SPARK_RUN_BUDGET',
      { config },
    )
  })
  test('a host without a guard', async () => {
    await start({ guard: false })
    expectRefused(
      rig.create(),
      /^the guard is not running .* so nobody would protect this host; start it with: (systemctl start spark-guard|spark-run install docker \(or podman\)),/,
    )
  })
  test('a host that is short of memory', async () => {
    await start()
    writeFileSync(rig.at('run/spark-run/guard.state'), 'version=1\npid=1\nready=1\nsoft=1\n')
    expectRefused(rig.create(), /^this host is short of memory: less than twice its reserve is available/)
  })
  test('not one that the guard killed, once the memory that it left is back', async () => {
    await start()
    const state = rig.at('run/spark-run/guard.state')
    writeFileSync(state, 'version=1\npid=1\nready=1\nsoft=1\n')
    mkdirSync(rig.at('run/spark-run/tombstones'), { recursive: true })
    const killedBootNs = Math.round((Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) - 3) * 1e9)
    writeFileSync(rig.at('run/spark-run/tombstones/c1.json'), JSON.stringify({ id: 'c1', kills: 1, killedBootNs }))
    spawn('sh', ['-c', 'sleep 1; sed -i s/soft=1/soft=0/ "$0"', state], { stdio: 'ignore' })
    expect(rig.create().status).toBe(0)
    expect(readFileSync(state, 'utf8')).toContain('soft=0')
  })
  test('a plan that is missing', async () => {
    await start()
    rmSync(rig.planFile)
    expectRefused(
      rig.create(),
      'there is no plan at @ROOT@/etc/spark-run/plan.json; write it anew with: spark-run install docker (or podman)',
      { event: false },
    )
  })
  test('a plan that is no JSON', async () => {
    await start()
    rig.writePlan('{"planVersion":1,')
    expectRefused(
      rig.create(),
      /^the plan .*plan\.json is not JSON: .* at byte \d+; write it anew with: spark-run install docker \(or podman\)$/,
      { event: false },
    )
  })
  test('a plan of another version', async () => {
    await start({ plan: { planVersion: 7 } })
    expectRefused(
      rig.create(),
      'the plan @ROOT@/etc/spark-run/plan.json has version 7, this spark-runtime understands version 1; write it anew with: spark-run install docker (or podman)',
      { event: false },
    )
  })
  for (const [what, nextRuntime, sentence] of [
    [
      'missing',
      '/nowhere/runc',
      /^the next runtime \/nowhere\/runc is missing \(No such file or directory\); set nextRuntime/,
    ],
    ['relative', 'runc', /^the next runtime "runc" is not an absolute path; set nextRuntime/],
    ['a directory', '/usr', /^the next runtime \/usr is not an executable file/],
    ['not executable', '/etc/passwd', /^the next runtime \/etc\/passwd is not an executable file/],
  ] as const) {
    test(`a next runtime that is ${what}`, async () => {
      await start({ plan: { nextRuntime } })
      expectRefused(rig.create(), sentence)
    })
  }
  for (const [what, make] of [
    ['ourselves', () => rig.at('usr/lib/spark-run/spark-runtime')],
    ['our other name', () => rig.at('usr/lib/spark-run/spark-hook')],
    [
      'ourselves through a link',
      () => {
        symlinkSync(rig.at('usr/lib/spark-run/spark-runtime'), rig.at('link'))
        return rig.at('link')
      },
    ],
    [
      'a copy of us',
      () => {
        mkdirSync(rig.at('copy'))
        copyFileSync(rig.at('usr/lib/spark-run/spark-runtime'), rig.at('copy/spark-runtime'))
        return rig.at('copy/spark-runtime')
      },
    ],
  ] as const) {
    test(`a next runtime that is ${what}`, async () => {
      await start()
      rig.writePlan(JSON.stringify({ ...rig.plan(), nextRuntime: make() }))
      expectRefused(rig.create(), /is spark-runtime itself, which would never end; set nextRuntime/)
    })
  }
  test('a next runtime that anybody can change', async () => {
    await start()
    chmodSync(rig.at('next'), 0o777)
    expectRefused(rig.create(), /can be changed by others than root, so it is not started/)
  })
  test('a next runtime that leads back to us', async () => {
    await start()
    writeFileSync(
      rig.at('next'),
      `#!/bin/sh\nexec ${rig.at('usr/lib/spark-run/spark-runtime')} --spark-plan=${rig.planFile} "$@"\n`,
    )
    const { status, stderr } = rig.create()
    expect(status).toBe(1)
    expect(stderr).toMatch(/leads back to spark-runtime; take spark out of its list of low-level runtimes/)
    expect(existsSync(rig.at('run/spark-run/ledgers/c1'))).toBe(false)
  })
  test('a next runtime that cannot be started: config.json is put back', async () => {
    await start()
    writeFileSync(rig.at('next'), '#!/nowhere/shell\n')
    expectRefused(rig.create(), /^the next runtime .*next cannot be started: No such file or directory$/)
  })
  test('a registry that cannot be written', async () => {
    await start()
    rmSync(rig.at('run/spark-run/containers'), { recursive: true, force: true })
    writeFileSync(rig.at('run/spark-run/containers'), '')
    expectRefused(rig.create(), /containers cannot be opened \(spark-run keeps its registry there\): Not a directory$/)
  })
  test('a run directory that is a file', async () => {
    await start({ plan: { onGuardMissing: 'warn' } })
    rmSync(rig.runDir, { recursive: true })
    writeFileSync(rig.runDir, '')
    const { status, stderr } = rig.create()
    expect(status).toBe(1)
    expect(stderr).toMatch(/^spark-run: .*run\/spark-run\/ledgers cannot be made/)
  })
  for (const [what, config, sentence] of [
    ['no JSON', '{"ociVersion":', /config\.json is not JSON: unexpected end of data at byte \d+$/],
    ['no object', '[]', /config\.json is not a JSON object$/],
    [
      'without a version',
      '{}',
      /^config\.json has no ociVersion; this spark-runtime understands OCI runtime configurations 1\.x$/,
    ],
    [
      'of OCI version 2',
      '{"ociVersion":"2.0.0"}',
      /^config\.json has OCI version 2\.0\.0, this spark-runtime understands 1\.x; update spark-run$/,
    ],
    ['with strange mounts', '{"ociVersion":"1.0.0","mounts":{}}', /^config\.json: mounts is not an array$/],
    [
      'larger than 16 MiB',
      `{"ociVersion":"1.0.0","x":"${'y'.repeat(17 * 1024 ** 2)}"}`,
      /config\.json is larger than 16 MiB, the most that is read$/,
    ],
  ] as const) {
    test(`a config.json that is ${what}`, async () => {
      await start()
      expectRefused(rig.create(config), sentence, { config })
    })
  }
  test('a bundle without a config.json', async () => {
    await start()
    mkdirSync(rig.at('bundle'))
    const outcome = rig.runtime([
      '--log',
      rig.at('log'),
      '--log-format',
      'json',
      'create',
      '-b',
      rig.at('bundle'),
      'c1',
    ])
    expectRefused(outcome, '@ROOT@/bundle/config.json cannot be opened: No such file or directory')
  })
  test('an id that is no file name', async () => {
    await start()
    expectRefused(rig.create(CONFIG, '../c1'), /^"\.\.\/c1" is not a container id: use 1 to 128 of A-Z a-z 0-9 _ \. -/)
  })
  test('an id that is there already', async () => {
    await start()
    const live = `version=1\nid=c2\npid=0\npid_start=0\ncgroup_v2=${rig.at('cgroup/c2')}\nbudget_bytes=1\nend=1\n`
    mkdirSync(rig.at('run/spark-run/containers'))
    mkdirSync(rig.at('cgroup/c2'))
    writeFileSync(rig.at('cgroup/c2/cgroup.procs'), '1\n')
    writeFileSync(rig.at('run/spark-run/containers/c2'), live)
    expectRefused(rig.create(CONFIG, 'c2'), 'a container with the id c2 is there already')
    expect(readFileSync(rig.at('run/spark-run/containers/c2'), 'utf8')).toBe(live)
  })
  test('and writes logfmt where the engine asked for text', async () => {
    await start({ guard: false })
    rig.runtime(['--log', rig.at('log'), 'create', '-b', rig.writeBundle(CONFIG), 'c1'])
    expect(readFileSync(rig.at('log'), 'utf8')).toMatch(
      /^time="[^"]+" level=error msg="spark-run: the guard is not running [^\n]+\n$/,
    )
  })
})
