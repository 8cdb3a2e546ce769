import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, it, type TestContext } from 'vitest'
import { isNotable } from '../../src/demo/drift.js'
import type { DemoReport } from '../../src/demo/report.js'
import { packageDir } from '../../src/host/package-files.js'
import { prepareMaxRoot } from '../../src/images/max-root.js'
import { because, missingForDockerTests } from '../support/private-machine.js'

const missing = missingForDockerTests()
const withoutMax = await prepareMaxRoot({}).then(
  () => undefined,
  (error: Error) => error.message,
)

/** Everything that these demos make lies in here, so that nobody else's traces are taken for theirs. */
const temporary = mkdtempSync('/tmp/dt-')
afterAll(() => rmSync(temporary, { recursive: true, force: true }))

interface Demo {
  child: ChildProcess
  ended: Promise<{ status: number | null; stdout: string; talk: string }>
  talk(): string
}

function startDemo(...args: string[]): Demo {
  // Not detached: a signal of ours goes to the demo alone, as `kill` would send it.
  const child = spawn(process.execPath, [path.join(packageDir, 'bin/demo.js'), '--machine', '1536m', ...args], {
    env: { ...process.env, TMPDIR: temporary },
  })
  let stdout = ''
  let talk = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    talk += text
  })
  const ended = new Promise<{ status: number | null; stdout: string; talk: string }>((resolve) => {
    child.once('close', (status) => resolve({ status, stdout, talk }))
  })
  return { child, ended, talk: () => stdout + talk }
}

async function waitForWords({ talk, child }: Demo, words: string): Promise<void> {
  for (let tries = 0; tries < 1_200 && !talk().includes(words); tries += 1) {
    if (child.exitCode !== null) throw new Error(`the demo ended before it said "${words}":\n${talk()}`)
    await sleep(100)
  }
}

/** Processes and mounts that name the demos' directory, and what is in it. */
function traces(): string[] {
  const processes = readdirSync('/proc').filter((entry) => {
    try {
      return /^\d+$/.test(entry) && readFileSync(`/proc/${entry}/cmdline`, 'utf8').includes(`${temporary}/`)
    } catch {
      return false
    }
  })
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => line.includes(`${temporary}/`))
  return [...processes, ...mounts, ...readdirSync(temporary)]
}

const overcommit = () => readFileSync('/proc/sys/vm/nr_overcommit_hugepages', 'utf8')

function parseReport(stdout: string): DemoReport {
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as DemoReport
}

/** The simulated machine is a part of this one, so a scene that others' memory disturbed tells nothing, not even played twice. */
const RUNS_MAX = 3

/** Plays the demo until no scene fails in which others moved memory; skips the test where that never happens. */
async function playUndisturbed({ skip }: TestContext, ...args: string[]) {
  for (let run = 1; ; run += 1) {
    const outcome = await startDemo('--json', ...args).ended
    const report = parseReport(outcome.stdout)
    const isDisturbed = report.scenes.some(
      ({ ok, othersTookBytes, othersGaveBackBytes }) =>
        !ok &&
        othersTookBytes !== null &&
        othersGaveBackBytes !== null &&
        isNotable({ othersTookBytes, othersGaveBackBytes }, report.machine.memTotalBytes),
    )
    if (!isDisturbed) return { ...outcome, report }
    if (run === RUNS_MAX) skip(`other programs took or gave back memory in each of ${RUNS_MAX} runs`)
  }
}

/** The promises of the demo, scene by scene; MAX may be out of reach, and then says so. */
function expectAllScenes(report: DemoReport, status: number | null): void {
  const [unprotected, budget, max, guard] = report.scenes
  const { memTotalBytes, reserveBytes } = report.machine
  expect(report.scenes.map((scene) => scene.name)).toEqual(['unprotected', 'budget', 'max', 'guard'])
  expect(unprotected).toMatchObject({ exitCode: 0, ok: true, killedBy: null })
  expect(unprotected?.peakDriverBytes).toBeGreaterThan(memTotalBytes * 0.85)
  expect(unprotected?.minAvailableBytes).toBeLessThan(reserveBytes)
  expect(budget).toMatchObject({ exitCode: 0, ok: true, killedBy: null })
  expect(budget?.engineSaw?.totalBytes).toBeLessThan(memTotalBytes / 2)
  expect(guard).toMatchObject({
    exitCode: 137,
    ok: true,
    killedBy: 'spark-guard',
    bystanderAlive: true,
    sentenceInLog: true,
  })
  expect(guard?.minAvailableBytes).toBeGreaterThanOrEqual(reserveBytes)
  if (withoutMax === undefined) expect(max).toMatchObject({ exitCode: 0, ok: true })
  else expect(max).toMatchObject({ skipped: expect.any(String), ok: false })
  expect(report.ok).toBe(withoutMax === undefined)
  expect(status).toBe(report.ok ? 0 : 1)
}

describe.skipIf(missing.length > 0)(`the demo on Docker${because(missing)}`, () => {
  it('every scene does what it should, and nothing is left', async (context) => {
    const before = overcommit()
    const { status, stdout, talk, report } = await playUndisturbed(context, '--engine', 'docker')
    expect(report.scenes.flatMap((scene) => scene.complaints)).toEqual([])
    expectAllScenes(report, status)
    expect(report.engine).toBe('docker')
    expect(report.scenes[0]?.statsBytes).toBeLessThan(report.machine.memTotalBytes / 10)
    expect(report.scenes[0]?.cgroupPeakBytes).toBeLessThan(report.machine.memTotalBytes / 10)
    expect(stdout.trimEnd().split('\n')).toHaveLength(1)
    expect(talk).toContain('What was seen')
    expect(talk).not.toContain('\x1b')
    expect([traces(), overcommit()]).toEqual([[], before])
  })

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s in the middle of a scene: exit code %i, and nothing is left', async (signal, exitCode) => {
    const before = overcommit()
    const demo = startDemo()
    await waitForWords(demo, '$ docker run')
    demo.child.kill(signal)
    expect((await demo.ended).status).toBe(exitCode)
    expect([traces(), overcommit()]).toEqual([[], before])
  })

  it('killed without a chance to clean up: the janitor does it', async () => {
    const before = overcommit()
    const demo = startDemo()
    await waitForWords(demo, '$ docker run')
    demo.child.kill('SIGKILL')
    await demo.ended
    await expect.poll(() => traces(), { timeout: 40_000, interval: 200 }).toEqual([])
    expect(overcommit()).toBe(before)
  })
})

describe('the demo without an engine', () => {
  it('plays on plain processes and says so', async (context) => {
    const before = overcommit()
    const { status, talk, report } = await playUndisturbed(context, '--engine', 'none')
    expect(report.scenes.flatMap((scene) => scene.complaints)).toEqual([])
    expectAllScenes(report, status)
    expect(report).toMatchObject({ engine: 'none', engineMissing: '--engine none was asked for' })
    expect(talk).toContain('No container engine: --engine none was asked for.')
    expect(report.scenes.map((scene) => scene.cgroupPeakBytes)).toEqual([null, null, null, null])
    expect([traces(), overcommit()]).toEqual([[], before])
  })

  it('has room on the smallest machine', async (context) => {
    const { status, report } = await playUndisturbed(context, '--engine', 'none', '--machine', '1g')
    expectAllScenes(report, status)
  })

  it('is ended in order when nobody reads its output any more', async () => {
    const before = overcommit()
    const demo = startDemo('--engine', 'none')
    await waitForWords(demo, 'Unprotected')
    demo.child.stdout?.destroy()
    expect(await demo.ended).toMatchObject({ status: 141, talk: '' })
    expect([traces(), overcommit()]).toEqual([[], before])
  })

  it.each([
    ['--machine', '100m'],
    ['--engine', 'rkt'],
  ])('refuses %s %s with JSON where that is asked for, before anything is made', async (...bad) => {
    const { status, stdout } = await startDemo('--json', ...bad).ended
    expect(status).toBe(2)
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      error: { message: expect.stringContaining(bad[0]), exit: 2 },
    })
  })

  it('refuses bad input with one sentence', async () => {
    expect(await startDemo('--engine', 'rkt').ended).toMatchObject({
      status: 2,
      talk: expect.stringMatching(/^demo: --engine "rkt" is not known: it is docker or none\n/),
    })
  })
})
