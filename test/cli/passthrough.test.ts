import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { installPacked, type PackedPackage } from './packed.js'

const FAKE = fileURLToPath(new URL('fixtures/fake-docker.sh', import.meta.url))
const HELP = fileURLToPath(new URL('../unit/launch/fixtures/docker-28.2-run-help.txt', import.meta.url))

let installed: PackedPackage
let dir: string
let out: string
beforeAll(() => {
  installed = installPacked()
})
afterAll(() => installed?.remove())
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'spark-cli-'))
  out = path.join(dir, 'argv')
  mkdirSync(path.join(dir, 'bin'))
  for (const engine of ['docker', 'podman']) copyFileSync(FAKE, path.join(dir, 'bin', engine))
})
afterEach(() => rmSync(dir, { recursive: true }))

function environment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  const { SPARK_RUN_QUIET: _, ...inherited } = process.env
  return {
    ...inherited,
    PATH: `${path.join(dir, 'bin')}:${process.env.PATH ?? ''}`,
    SPARK_RUN_PREFIX: dir,
    FAKE_OUT: out,
    FAKE_HELP: HELP,
    ...extra,
  }
}

function sparkRun(args: readonly string[], extra: Record<string, string> = {}, input = '') {
  return spawnSync(process.execPath, [installed.program, ...args], { env: environment(extra), input, encoding: 'utf8' })
}

function argvSeen(): string[] {
  return readFileSync(out, 'utf8').split('\0').slice(0, -1)
}

/** Arguments that wrappers are known to break on, in 200 combinations that are the same in every run. */
function nastyLines(): string[][] {
  const words = [
    '', ' ', '\n', 'a\nb', '--', '--help', '-h', '-v', '--version', '--json', '--budget', '--budget=1g', '--dry-run', '--quiet',
    '-', '---', '-=', '--=', '=', '"', "'", '`id`', '$HOME', '$(id)', '*', '?', '\\', '\\n', '%s', '\t', '\r', '\u0001', 'ä€😀',
    '-v', '/a:/b', '-v', '/b:/b', '-it', '-e', 'A=b c', 'A=', '--flag=val ue', 'docker', 'podman', 'spark-run', '!', '#', ';', '|',
    '&', '<', '>', '~', 'x'.repeat(5000),
  ] // biome-ignore format: a word list reads best dense
  let state = 20_26
  const next = (below: number) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * below)
  }
  const pick = () => words[next(words.length)] ?? ''
  return Array.from({ length: 200 }, (_, n) => [
    ...(n % 3 === 0 ? ['exec'] : n % 3 === 1 ? ['-D', 'ps'] : ['stop']),
    ...Array.from({ length: next(9) }, pick),
  ])
}

describe('arguments', () => {
  test('200 nasty lines reach the engine exactly as they were given', { timeout: 300_000 }, () => {
    for (const line of nastyLines()) {
      const result = sparkRun(['docker', ...line])
      expect({ line, ...result }).toMatchObject({ line, status: 0, stdout: '', stderr: '' })
      expect(argvSeen()).toEqual(line)
    }
  })

  test('run with an installed runtime gets two flags right after the verb, and nothing else changes', {
    timeout: 300_000,
  }, () => {
    for (const [index, line] of nastyLines()
      .filter((_, n) => n % 5 === 0)
      .entries()) {
      const rest = ['--rm', '-v', '/a:/a', '-v', '/b:/b', 'image', ...line]
      const verb = index % 2 === 0 ? ['run'] : ['-H', 'unix:///x', 'container', 'run']
      const result = sparkRun(['docker', ...verb, ...rest], { FAKE_RUNTIMES: '"runc":{},"spark":{}' })
      expect({ rest, ...result }).toMatchObject({ rest, status: 0, stdout: '', stderr: '' })
      const seen = argvSeen()
      const ours = seen.slice(verb.length, verb.length + 3)
      expect(ours.slice(0, 2)).toEqual(['--runtime=spark', '-e'])
      expect(ours[2]).toMatch(/^SPARK_RUN_REQUEST=v1;id=[0-9a-f-]{36}$/)
      expect([...seen.slice(0, verb.length), ...seen.slice(verb.length + 3)]).toEqual([...verb, ...rest])
    }
  })

  test('our options become the request, with sizes in bytes and the name of the container', () => {
    const args = ['--budget', '40g', '--reserve=8g', '--priority', '-5', 'docker', 'run', '--name', 'llm', 'image']
    expect(sparkRun(args, { FAKE_RUNTIMES: '"spark":{}' })).toMatchObject({ status: 0, stderr: '' })
    const [, , , request] = argvSeen()
    expect(request).toMatch(
      /^SPARK_RUN_REQUEST=v1;id=[0-9a-f-]+;budget=42949672960;reserve=8589934592;priority=-5;name=llm$/,
    )
  })

  test.each([
    ['docker', ['run', '--help']],
    ['docker', ['run', '-it', '--help', 'image']],
    ['docker', ['run']],
    ['docker', []],
    ['podman', ['ps', '--help']],
  ])('%s %j is untouched', (engine, args) => {
    expect(sparkRun([engine, ...args])).toMatchObject({ status: 0, stderr: '' })
    if (args.join(' ') !== 'run --help') expect(argvSeen()).toEqual(args)
  })

  test('docker run --help prints the text of docker', () => {
    expect(sparkRun(['docker', 'run', '--help']).stdout).toBe(readFileSync(HELP, 'utf8'))
  })
})

describe('streams and exit codes', () => {
  test('stdin goes through whole, bytes and end', () => {
    const input = 'line\nÿ\0 no newline at the end'.repeat(20_000)
    expect(sparkRun(['docker', 'exec', '-i', 'c', 'cat'], { FAKE_MODE: 'cat' }, input).stdout).toBe(input)
  })

  test.each([0, 1, 3, 125, 126, 127, 137, 255])('exit code %i of the engine is ours', (code) => {
    expect(sparkRun(['docker', 'ps'], { FAKE_EXIT: String(code) })).toMatchObject({ status: code, stderr: '' })
  })

  test('an engine that dies of a signal gives 128 and its number', () => {
    expect(sparkRun(['docker', 'ps'], { FAKE_MODE: 'die' }).status).toBe(137)
  })

  test('an engine that is not there: 127 and a sentence', () => {
    const result = spawnSync(process.execPath, [installed.program, 'docker', 'ps'], {
      env: { ...environment(), PATH: dir },
      encoding: 'utf8',
    })
    expect(result).toMatchObject({
      status: 127,
      stdout: '',
      stderr:
        'spark-run: docker is not installed, or not in the directories of PATH: install it, or try spark-run podman\n',
    })
    const run = spawnSync(process.execPath, [installed.program, 'docker', 'run', 'image'], {
      env: { ...environment(), PATH: dir },
      encoding: 'utf8',
    })
    expect(run).toMatchObject({ status: 127, stderr: result.stderr })
  })

  test('an engine that may not be executed: 126 and a sentence', () => {
    chmodSync(path.join(dir, 'bin/docker'), 0o644)
    const result = spawnSync(process.execPath, [installed.program, 'docker', 'ps'], {
      env: { ...environment(), PATH: path.join(dir, 'bin') },
      encoding: 'utf8',
    })
    expect(result).toMatchObject({
      status: 126,
      stderr: 'spark-run: docker was found on PATH but may not be executed: look at its permissions\n',
    })
  })

  test('a daemon that is down: its own words, 125, nothing started', () => {
    const words = 'Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?'
    const result = sparkRun(['docker', 'run', 'image'], { FAKE_INFO_ERROR: `ERROR: ${words}` })
    expect(result).toMatchObject({
      status: 125,
      stdout: '',
      stderr: `spark-run: the Docker daemon did not answer, so nothing was started: ${words}\n`,
    })
    expect(existsSync(out)).toBe(false)
  })
})

describe('one clear sentence for bad input, before anything starts', () => {
  const RUNTIMES = { FAKE_RUNTIMES: '"spark":{}' }
  test.each([
    [['--budget', '40x', 'docker', 'run', 'i'], 2, '--budget 40x is not a size: write 40g, 512m, plain bytes or 30%'],
    [
      ['--budget', '1g', '--budget', '2g', 'docker', 'run', 'i'],
      2,
      '--budget was given twice: give it once, spark-run would not know which one you mean',
    ],
    [['--reserve=-1', 'docker', 'run', 'i'], 2, '--reserve -1 is not a size: write 40g, 512m, plain bytes or 30%'],
    [
      ['docker', 'run', '--runtime', 'crun', 'i'],
      125,
      '--runtime crun would take the container out of its budget, because Docker uses one runtime only: leave it out, or start this container with docker itself',
    ],
    [
      ['docker', 'run', '--gpus', 'all', '--runtime=nvidia', 'i'],
      125,
      '--runtime nvidia would take the container out of its budget, because Docker uses one runtime only: use --gpus all instead, or let spark hand over to it with "nextRuntime": "/usr/bin/nvidia-container-runtime" in /etc/spark-run/config.json',
    ],
  ])('%j', (args, status, sentence) => {
    expect(sparkRun(args, RUNTIMES)).toMatchObject({ status, stdout: '', stderr: `spark-run: ${sentence}\n` })
    expect(existsSync(out)).toBe(false)
  })

  test('a size that is none is refused before the engine is asked for anything', () => {
    expect(sparkRun(['--budget', '40x', 'docker', 'run', 'i'], { FAKE_INFO_ERROR: 'asked' })).toMatchObject({
      status: 2,
      stderr: 'spark-run: --budget 40x is not a size: write 40g, 512m, plain bytes or 30%\n',
    })
  })

  test('a runtime flag in the command of the container is none of ours', () => {
    const args = ['run', 'image', 'serve', '--runtime', 'crun']
    expect(sparkRun(['docker', ...args], RUNTIMES)).toMatchObject({ status: 0, stderr: '' })
    expect(argvSeen().slice(4)).toEqual(args.slice(1))
  })
})

describe('what is not guarded is said once', () => {
  test('compose', () => {
    const sentence =
      'spark-run: compose starts its containers itself, so none of them has a budget unless spark is the default runtime of the engine\n'
    expect(sparkRun(['docker', 'compose', 'up']).stderr).toBe(sentence)
    expect(sparkRun(['--quiet', 'docker', 'compose', 'up']).stderr).toBe('')
    expect(sparkRun(['docker', 'compose', 'up'], { SPARK_RUN_QUIET: '1' }).stderr).toBe('')
  })

  test('a command that cannot be found behind global flags of tomorrow is passed on as it is', () => {
    const args = ['--flag-of-tomorrow', 'x', 'run', 'image']
    expect(sparkRun(['docker', ...args]).stderr).toBe(
      'spark-run: the docker command could not be found behind its global flags, so a container that it makes has no budget\n',
    )
    expect(argvSeen()).toEqual(args)
  })

  test('a budget where no container is made', () => {
    expect(sparkRun(['--budget', '1g', 'docker', 'ps']).stderr).toBe(
      'spark-run: --budget has no effect on docker ps: only run and create make containers\n',
    )
    expect(sparkRun(['--budget', '1g', 'docker']).stderr).toContain('has no effect on docker: only run')
  })

  test('run without an image: what it lacks is said by the engine, and nothing that contradicts it by us', () => {
    expect(sparkRun(['--budget', '1g', 'docker', 'run']).stderr).toBe('')
    expect(argvSeen()).toEqual(['run'])
  })
})

test('a command that does not exist: its first word only, and what was meant', () => {
  const result = sparkRun(['dokcer', 'run', 'x'])
  expect(result).toMatchObject({ status: 2, stdout: '' })
  expect(result.stderr).toContain('spark-run: there is no command "dokcer", allowed: ')
  expect(result.stderr).toContain('Did you mean docker? See: spark-run --help\n')
})

test('uninstall says where the places that it undoes come from', () => {
  expect(sparkRun(['uninstall', 'docker', '--docker-host', 'unix:///x']).stderr).toBe(
    'spark-run: uninstall takes no --docker-host: it undoes the installation where its record says it was made; leave it out\n',
  )
})

test('--dry-run prints the exact command and what holds, and starts nothing', () => {
  const args = [
    '--dry-run',
    '--budget',
    '40g',
    'docker',
    'run',
    '--rm',
    '-e',
    "A=it's",
    'image',
    'sh',
    '-c',
    'echo a\nb',
  ]
  const result = sparkRun(args, { FAKE_RUNTIMES: '"spark":{}' })
  expect(result).toMatchObject({ status: 0, stderr: '' })
  expect(existsSync(out)).toBe(false)
  const command = result.stdout.slice(0, result.stdout.indexOf('\n# '))
  expect(result.stdout).toContain('# budget: 40.0 GiB\n')
  // A shell that is given the command runs exactly it.
  expect(spawnSync('sh', ['-c', command], { env: environment() }).status).toBe(0)
  expect(argvSeen().slice(4)).toEqual(args.slice(5))
})

test('the version, and a short help for no arguments at all', () => {
  const version = JSON.parse(readFileSync(path.join(installed.dir, 'package.json'), 'utf8')).version as string
  expect(sparkRun(['--version']).stdout).toBe(`spark-run ${version}\n`)
  const help = sparkRun([])
  expect(help).toMatchObject({ status: 0, stderr: '' })
  expect(help.stdout).toContain('spark-run docker run IMAGE')
})

test('a copy that was never built says so', () => {
  const bare = path.join(dir, 'bare')
  mkdirSync(path.join(bare, 'bin'), { recursive: true })
  copyFileSync(installed.program, path.join(bare, 'bin/spark-run.js'))
  writeFileSync(path.join(bare, 'package.json'), '{"type":"module"}')
  const result = spawnSync(process.execPath, [path.join(bare, 'bin/spark-run.js'), 'docker', 'ps'], {
    encoding: 'utf8',
  })
  expect(result).toMatchObject({
    status: 1,
    stderr: 'spark-run: this copy is not built yet; build it with: npm run build\n',
  })
})

test('passthrough loads neither oclif nor any other package', () => {
  const trace = path.join(dir, 'loads.mjs')
  writeFileSync(
    trace,
    `import { registerHooks, register } from 'node:module'
     register('data:text/javascript,' + encodeURIComponent(\`
       import { appendFileSync } from 'node:fs'
       export async function resolve(name, context, next) {
         const found = await next(name, context)
         appendFileSync(${JSON.stringify(path.join(dir, 'loads'))}, found.url + '\\\\n')
         return found
       }\`))`.replace('registerHooks, ', ''),
  )
  const result = spawnSync(process.execPath, ['--import', trace, installed.program, 'docker', 'version'], {
    env: environment(),
    encoding: 'utf8',
  })
  expect(result).toMatchObject({ status: 0 })
  const loads = readFileSync(path.join(dir, 'loads'), 'utf8').trim().split('\n')
  expect(loads.some((url) => url.endsWith('dist/launch/front.js'))).toBe(true)
  expect(loads.filter((url) => url.includes('node_modules') && !url.includes('node_modules/spark-run/'))).toEqual([])
})

describe('signals', () => {
  async function started(args: readonly string[], extra: Record<string, string> = {}) {
    // A session of its own has no terminal, as under a service manager.
    const child = spawn(process.execPath, [installed.program, ...args], {
      env: environment({ FAKE_MODE: 'signals', FAKE_EXIT: '7', ...extra }),
      detached: true,
      stdio: 'ignore',
    })
    const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
    for (let wait = 0; wait < 200 && !existsSync(`${out}.ready`); wait++) await sleep(50)
    return { child, ended }
  }
  const signalsSeen = () => readFileSync(`${out}.signals`, 'utf8').trim().split('\n')

  test('without a terminal every signal is handed on once, and the exit code of the clean-up is waited for', async () => {
    const { child, ended } = await started(['docker', 'stop', 'c'])
    for (const signal of ['SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH', 'SIGTERM'] as const) {
      child.kill(signal)
      await sleep(150)
    }
    expect(await ended).toBe(7)
    expect(signalsSeen()).toEqual(['HUP', 'QUIT', 'USR1', 'USR2', 'WINCH', 'TERM'])
  })

  test('SIGINT without a terminal is handed on as SIGINT', async () => {
    const { child, ended } = await started(['docker', 'run', 'image'], { FAKE_RUNTIMES: '"spark":{}' })
    child.kill('SIGINT')
    expect(await ended).toBe(7)
    expect(signalsSeen()).toEqual(['INT'])
  })

  test('Ctrl-C on a terminal reaches the engine once, and its exit code comes back', () => {
    const pty = fileURLToPath(new URL('fixtures/ctrl-c-on-a-terminal.py', import.meta.url))
    const result = spawnSync(
      'python3',
      [pty, `${out}.ready`, process.execPath, installed.program, 'docker', 'attach', 'c'],
      {
        env: environment({ FAKE_MODE: 'signals', FAKE_EXIT: '7' }),
        encoding: 'utf8',
      },
    )
    expect(result).toMatchObject({ stderr: '', status: 7 })
    expect(signalsSeen()).toEqual(['INT'])
  })

  test('the engine has the terminal itself', () => {
    const pty = fileURLToPath(new URL('fixtures/ctrl-c-on-a-terminal.py', import.meta.url))
    writeFileSync(path.join(dir, 'bin/docker'), '#!/bin/sh\n[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && exit 42\nexit 1\n', {
      mode: 0o755,
    })
    const result = spawnSync('python3', [pty, 'none', process.execPath, installed.program, 'docker', 'attach', 'c'], {
      env: environment(),
      encoding: 'utf8',
    })
    expect(result).toMatchObject({ stderr: '', status: 42 })
  })
})
