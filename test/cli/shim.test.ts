import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readMeminfo } from '../../src/host/meminfo.js'
import { nativeArch, packageDir } from '../../src/host/package-files.js'
import { installPacked, type PackedPackage } from './packed.js'

const MIB = 1024 ** 2
const NOBODY = 65534

let installed: PackedPackage
let greedy: string
beforeAll(() => {
  installed = installPacked()
  greedy = path.join(installed.dir, 'native/build', nativeArch(), 'greedy')
})
afterAll(() => installed?.remove())

/** Where the shim makes its temporary files. */
let dir: string
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'spark-cli-shim-'))
})
afterEach(() => {
  expect(readdirSync(dir)).toEqual([])
  rmSync(dir, { recursive: true })
})

/** Anonymous pages: no test here needs huge ones from the host, and no other test is in the way. */
function environment(): NodeJS.ProcessEnv {
  return { ...process.env, TMPDIR: dir, SPARK_SIM_PAGES: 'anonymous' }
}

function shim(args: readonly string[], options: { input?: string; uid?: number; env?: NodeJS.ProcessEnv } = {}) {
  const program = path.join(installed.dir, 'bin/shim.js')
  return spawnSync(process.execPath, [program, ...args], { env: environment(), encoding: 'utf8', ...options })
}

function probe(...args: string[]) {
  return spawnSync(process.execPath, [installed.program, 'probe', ...args], { env: environment(), encoding: 'utf8' })
}

const SMALL = ['--budget', '128m', '--sim', '512m']

describe('a program under the shim', () => {
  test('has its own output; --trace tells every call on stderr, to the last', () => {
    const plain = shim([...SMALL, '--', greedy, '--mode', 'greedy'])
    expect(plain).toMatchObject({ status: 0, stderr: '' })
    expect(plain.stdout).toContain('CUDA says 128.0 MiB free of 128.0 MiB')
    const traced = shim([...SMALL, '--trace', '--', greedy, '--mode', 'greedy'])
    expect(traced.stdout).toBe(plain.stdout)
    const calls = traced.stderr.trimEnd().split('\n')
    expect(calls[0]).toMatch(/^\[\d+\] dlopen\("libnvidia-ml\.so\.1"\) \(led through spark-run\)$/)
    expect(calls.at(-1)).toMatch(/^\[\d+\] cuDevicePrimaryCtxRelease_v2\(\) = CUDA_SUCCESS$/)
    expect(traced.stderr).toMatch(
      /cuMemAlloc_v2\(\d+\.0 MiB\) = CUDA_ERROR_OUT_OF_MEMORY \(refused by spark-run; \d+\.0 MiB of 128\.0 MiB left\)/,
    )
  })

  test('the calls of several processes are told together, each with its pid', () => {
    const { stdout, stderr } = shim([
      ...SMALL,
      '--trace',
      '--',
      'sh',
      '-c',
      '"$1" --limit 32m & "$1" --limit 32m; wait',
      'sh',
      greedy,
    ])
    expect(stdout.match(/done, held 32\.0 MiB/g)).toHaveLength(2)
    const lines = stderr.trimEnd().split('\n')
    const pids = new Set(lines.map((line) => /^\[(\d+)\]/.exec(line)?.[1]))
    expect(pids.size).toBe(2)
    for (const pid of pids) {
      const own = lines.filter((line) => line.startsWith(`[${pid}]`))
      expect(own[0]).toContain('dlopen')
      expect(own.at(-1)).toContain('cuDevicePrimaryCtxRelease_v2')
    }
  })

  test('keeps what was preloaded and searched already, behind ours', () => {
    const env = { ...environment(), LD_PRELOAD: 'libm.so.6', LD_LIBRARY_PATH: '/somewhere' }
    const { stdout } = shim([...SMALL, '--', 'sh', '-c', 'echo "$LD_PRELOAD $LD_LIBRARY_PATH"'], { env })
    expect(stdout).toMatch(/^\S+\/libspark-shim\.so:libm\.so\.6 \S+\/sim:\/somewhere\n$/)
  })

  test('has our stdin, and exactly its arguments', () => {
    const nasty = ['a b', '', '--', '--trace', '"', "'", '$HOME', '*', '\n']
    const { stdout } = shim(['--budget', '1g', '--', 'sh', '-c', 'cat; printf "<%s>" "$@"', 'sh', ...nasty], {
      input: 'in\n',
    })
    expect(stdout).toBe(`in\n${nasty.map((word) => `<${word}>`).join('')}`)
  })

  test.each([
    ['exit 7', 7],
    ['kill -KILL $$', 137],
    ['kill -SEGV $$', 139],
  ])('sh -c "%s" gives exit code %i', (script, status) => {
    expect(shim(['--budget', '1g', '--', 'sh', '-c', script])).toMatchObject({ status, stderr: '' })
  })

  test('gets the signals that are sent to us, and nothing is left behind', async () => {
    const script = 'trap "exit 5" TERM; echo ready; while :; do sleep 0.05; done'
    const args = [path.join(installed.dir, 'bin/shim.js'), '--budget', '1g', '--trace', '--', 'sh', '-c', script]
    const child = spawn(process.execPath, args, { env: environment(), stdio: ['ignore', 'pipe', 'inherit'] })
    child.stdout.once('data', () => child.kill('SIGTERM'))
    expect(await new Promise((resolve) => child.once('exit', (code) => resolve(code)))).toBe(5)
  })
})

describe('what cannot be done is one sentence', () => {
  test.each([
    [['--budget', '1x', '--', 'true'], 2, '--budget 1x is not a size'],
    [['--budget', '1g', '--sim', 'big', '--', 'true'], 2, '--sim big is not a size'],
    [
      ['--budget', '2g', '--sim', '1g', '--', 'true'],
      2,
      '--budget 2.0 GiB is more than the simulated machine has, 1.0 GiB',
    ],
    [['--budget', '1g'], 2, 'there is no command'],
    [['--', 'true'], 2, '--budget 4g'],
    [['--budget', '1g', '--', 'no-such-program'], 127, '"no-such-program" is not in the directories of PATH'],
    [['--budget', '1g', '--', './no/such'], 127, '"./no/such" cannot be run'],
    [['--budget', '1g', '--', '/etc/passwd'], 126, '"/etc/passwd" may not be executed'],
  ])('%j', (args, status, sentence) => {
    const result = shim(args)
    expect(result).toMatchObject({ status, stdout: '' })
    expect(result.stderr).toContain(sentence)
    expect(result.stderr.trimEnd().split('\n')).toHaveLength(1)
  })

  test('a copy whose path the loader cannot preload from', () => {
    const spaced = mkdtempSync(path.join(tmpdir(), 'spark run-'))
    try {
      const copied = spawnSync('cp', ['-R', `${installed.dir}/.`, spaced])
      expect(copied.status).toBe(0)
      const args = [path.join(spaced, 'bin/shim.js'), '--budget', '1g', '--', 'true']
      const result = spawnSync(process.execPath, args, { env: environment(), encoding: 'utf8' })
      expect(result).toMatchObject({ status: 1 })
      expect(result.stderr).toContain('the loader cannot preload from a path with a space or a colon in it')
    } finally {
      rmSync(spaced, { recursive: true })
    }
  })

  test('huge pages that only root could allow', (ctx) => {
    if (process.getuid?.() !== 0) ctx.skip('only root can become somebody else')
    // Nobody must be able to read the package.
    chmodSync(path.dirname(path.dirname(installed.dir)), 0o755)
    chmodSync(dir, 0o777)
    const { SPARK_SIM_PAGES: _, ...env } = environment()
    const all = String(readMeminfo().totalBytes)
    const result = shim(['--budget', all, '--sim', all, '--', 'true'], { uid: NOBODY, env })
    expect(result).toMatchObject({ status: 2, stdout: '' })
    expect(result.stderr).toMatch(
      /^shim: --sim takes huge pages, and vm\.nr_overcommit_hugepages allows less than .* as root run sysctl -w vm\.nr_overcommit_hugepages=\d+; or set SPARK_SIM_PAGES=anonymous/,
    )
  })
})

describe('npm run shim', () => {
  test('adds nothing to the output, and runs the program where we are', () => {
    mkdirSync(path.join(dir, 'here'))
    try {
      const args = ['--prefix', packageDir, 'run', '--silent', 'shim', '--', '--budget', '1g', '--']
      const command = ['sh', '-c', 'pwd; printf "<%s>" "$@"; exit 9', 'sh', 'a b', "it's", '$HOME']
      const result = spawnSync('npm', [...args, ...command], {
        cwd: path.join(dir, 'here'),
        env: environment(),
        encoding: 'utf8',
      })
      expect(result).toMatchObject({ status: 9, stderr: '' })
      expect(result.stdout).toBe(`${dir}/here\n<a b><it's><$HOME>`)
    } finally {
      rmSync(path.join(dir, 'here'), { recursive: true })
    }
  })
})

describe('spark-run probe', () => {
  test('--json: the report alone on stdout, the program on stderr; the exit code is the program’s', () => {
    const result = probe(...SMALL, '--json', '--', 'sh', '-c', '"$1" --mode greedy; exit 3', 'sh', greedy)
    expect(result.status).toBe(3)
    expect(result.stderr).toContain('greedy: done, held')
    const report = JSON.parse(result.stdout)
    expect(report).toMatchObject({
      ...{
        schemaVersion: 1,
        exitCode: 3,
        budgetBytes: 128 * MIB,
        budgetGiven: true,
        simBytes: 512 * MIB,
        processes: 1,
      },
      libraries: ['libnvidia-ml.so.1', 'libcuda.so.1'],
      ledger: { usedAtEndBytes: 0 },
    })
    expect(report.layers).toHaveLength(7)
    expect(report.layers[0]).toMatchObject({
      told: { first: { from: 'nvmlDeviceGetMemoryInfo', freeBytes: 128 * MIB, totalBytes: 128 * MIB } },
      calls: [{ call: 'nvmlDeviceGetMemoryInfo', times: 1, byShim: 1 }],
    })
    const [taken] = report.allocations
    expect(taken).toMatchObject({ call: 'cuMemAlloc_v2', granted: 1 })
    expect(report.ledger.peakBytes).toBe(taken.grantedBytes)
    expect(taken.refused).toBeGreaterThan(0)
    expect(report.ledger.refused).toBe(taken.refused)
    expect(report.layers[6].refused).toBe(taken.refused)
  })

  test('without a budget nothing is refused, and that is said; the report follows the program', () => {
    const result = probe('--sim', '512m', '--', greedy, '--limit', '64m')
    expect(result).toMatchObject({ status: 0, stderr: '' })
    expect(result.stdout.indexOf('greedy: done')).toBeLessThan(result.stdout.indexOf('On a simulated machine'))
    expect(result.stdout).toContain("no budget: the machine's 512.0 MiB stand for it")
    expect(result.stdout).toMatch(/^7 {3}driver memory {3,}ledger at most 64\.0 MiB of 512\.0 MiB; /m)
    expect(result.stdout).toMatch(
      /It took 64\.0 MiB in 1 call of cuMemCreate, at most 64\.0 MiB at once\. Nothing was refused\./,
    )
  })

  test('--trace tells the calls beside it', () => {
    const result = probe(...SMALL, '--trace', '--json', '--', greedy, '--limit', '32m')
    expect(result.stderr).toMatch(/^\[\d+\] cuMemCreate\(32\.0 MiB\) = CUDA_SUCCESS/m)
    expect(JSON.parse(result.stdout).allocations).toHaveLength(1)
  })

  test('a program that never asks is said to be just that', () => {
    const result = probe('--', 'true')
    expect(result.status).toBe(0)
    expect(result.stdout).toContain('No call came by the shim')
  })

  test('mistakes are one sentence; exit code 2, and 127 for a program that is not there', () => {
    expect(probe('--budget', '1g')).toMatchObject({ status: 2, stdout: '' })
    expect(probe('--budget', '1g', '--frob', '--', 'true')).toMatchObject({ status: 2, stdout: '' })
    const { error } = JSON.parse(probe('--json', '--budget', '1x', '--', 'true').stdout)
    expect(error).toMatchObject({ code: 'SIZE_SYNTAX', exit: 2 })
    const missing = probe('--json', '--', 'no-such-program')
    expect(missing.status).toBe(127)
    expect(JSON.parse(missing.stdout).error).toMatchObject({ code: 'NOT_STARTED', exit: 127 })
    expect(probe('--', 'no-such-program')).toMatchObject({
      status: 127,
      stdout: '',
      stderr: expect.stringContaining('spark-run: "no-such-program" is not in the directories of PATH'),
    })
  })

  test('the simulated machine is huge pages of this one, and the kernel setting is as before', (ctx) => {
    if (process.getuid?.() !== 0) ctx.skip('only root may raise vm.nr_overcommit_hugepages')
    if (readMeminfo().hugePages.pageBytes === 0) ctx.skip('this kernel has no huge pages')
    const { SPARK_SIM_PAGES: _, ...env } = environment()
    const args = [installed.program, 'probe', ...SMALL, '--json', '--', greedy, '--limit', '64m', '--hold', '0.3']
    const run = spawnSync(process.execPath, args, { env, encoding: 'utf8' })
    const report = JSON.parse(run.stdout)
    const { beforeBytes, highestBytes } = report.host.hugePages
    expect(highestBytes - beforeBytes).toBeGreaterThanOrEqual(64 * MIB)
    expect(report.ledger.peakBytes).toBe(64 * MIB)
    // We are no holder of the setting any more.
    const note = '/run/spark-run-huge-pages.json'
    const holders = existsSync(note) ? readFileSync(note, 'utf8') : ''
    expect(holders).not.toContain(`"pid":${run.pid},`)
  })

  test('flags of the program are the program’s, --help and --json too', () => {
    const result = probe('--json', '--', 'echo', '--help', '--json')
    expect(result.stderr).toBe('--help --json\n')
    expect(probe('--', 'echo', '--json').stdout).toMatch(/^--json\nOn this machine/)
  })
})
