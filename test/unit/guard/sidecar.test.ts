import { expect, test } from 'vitest'
import { type AskEngine, computeCreateArguments, ensureSidecar, SIDECAR_NAME } from '../../../src/guard/sidecar.js'
import { hostPaths } from '../../../src/host/paths.js'
import { compilePlan } from '../../../src/plan/compile.js'
import { defaultPolicy } from '../../../src/plan/policy.js'

const paths = hostPaths('')
const plan = compilePlan({
  policy: defaultPolicy,
  memTotalBytes: 128 * 1024 ** 3,
  paths: { ...paths, libDir: '/volumes/lib' },
  nextRuntime: '/usr/bin/runc',
  packageVersion: '0.1.0',
})

type Answer = { exitCode: number; stdout: string; stderr: string }
const ok = (stdout = ''): Answer => ({ exitCode: 0, stdout, stderr: '' })
const failed = (stderr: string): Answer => ({ exitCode: 1, stdout: '', stderr })

/** A fake engine: answers by the first words of a question, and remembers what it was asked. */
function fakeEngine(answers: Record<string, Answer | Answer[]>): AskEngine & { asked: string[] } {
  const asked: string[] = []
  return {
    asked,
    async ask(args) {
      const line = args.join(' ')
      asked.push(line)
      const key = Object.keys(answers).find((words) => line.startsWith(words))
      const answer = key === undefined ? ok() : answers[key]
      return (Array.isArray(answer) ? (answer.length > 1 ? answer.shift() : answer[0]) : answer) ?? ok()
    },
  }
}

const wishes = { paths, ensureImage: async () => 'spark-run/guard:0.1.0', compile: () => plan, say: () => {} }
const inspected = (running: boolean, labels: object) =>
  ok(JSON.stringify({ State: { Running: running }, Config: { Labels: labels } }))
const FRESH = {
  'container inspect': failed('No such container'),
  'image inspect': ok('sha256:0123456789abcdef\n'),
  'volume inspect': ok('/volumes/lib\n'),
  logs: ok('ready\n'),
}

test('the guard sees the host and can end its processes, but is not privileged and has no network', () => {
  const args = computeCreateArguments({ image: 'i', volume: 'v', plan, paths, capabilities: ['KILL', 'SYS_PTRACE'] })
  expect(args).toContain('--pid=host')
  expect(args).toContain('--network=none')
  expect(args).toContain('--cap-drop=ALL')
  expect(args).toContain('--cap-add=KILL')
  expect(args).not.toContain('--privileged')
  expect(args.slice(args.indexOf('i'))).toEqual([
    'i',
    '--run-dir',
    '/run/spark-run',
    '--log-dir',
    '/var/log/spark-run',
    '--reserve-bytes',
    String(Math.floor(2.25 * 1024 ** 3 + 128 * 1024 ** 3 * 0.06)),
    '--supervise',
    '--ready-fd',
    '1',
  ])
  const label = args.find((argument) => argument.startsWith('io.spark-run.plan='))
  expect(JSON.parse(label?.slice('io.spark-run.plan='.length) ?? '')).toEqual(plan)
})

test('a running guard is used as it is, with one question', async () => {
  const engine = fakeEngine({ 'container inspect': inspected(true, { 'io.spark-run.plan': JSON.stringify(plan) }) })
  expect((await ensureSidecar(engine, wishes)).plan).toEqual(plan)
  expect(engine.asked).toHaveLength(1)
})

test('where the engine lacks a capability, the guard starts without it, and nothing is left of the first try', async () => {
  const engine = fakeEngine({
    ...FRESH,
    start: [failed('Error response from daemon: unable to apply caps: operation not permitted'), ok()],
  })
  await ensureSidecar(engine, wishes)
  const steps = engine.asked.map((line) => line.split(' ')[0])
  expect(steps.filter((step) => step === 'create')).toHaveLength(2)
  expect(engine.asked).toContain(`rm --force ${SIDECAR_NAME}`)
  const [first, second] = engine.asked.filter((line) => line.startsWith('create'))
  expect(first).toContain('--cap-add=SYS_RESOURCE')
  expect(second).not.toContain('--cap-add=SYS_RESOURCE')
})

test('a guard that cannot start is removed again and told in the words of the engine', async () => {
  const engine = fakeEngine({
    ...FRESH,
    start: failed('Error response from daemon: no space left on device\nError: failed to start'),
  })
  await expect(ensureSidecar(engine, wishes)).rejects.toMatchObject({
    exitCode: 125,
    message:
      'the guard could not be started as a container, so nothing else was started: Error response from daemon: no space left on device',
  })
  expect(engine.asked.at(-1)).toBe(`rm --force ${SIDECAR_NAME}`)
})

test('two launches at once end up with one guard', async () => {
  const engine = fakeEngine({
    ...FRESH,
    'container inspect': [failed('No such container'), inspected(true, { 'io.spark-run.plan': JSON.stringify(plan) })],
    create: failed('Conflict. The container name "/spark-run-guard" is already in use'),
  })
  expect((await ensureSidecar(engine, wishes)).plan).toEqual(plan)
  expect(engine.asked.some((line) => line.startsWith('start'))).toBe(false)
})

test('a container of that name that is none of ours is left alone', async () => {
  const engine = fakeEngine({ 'container inspect': inspected(true, {}) })
  await expect(ensureSidecar(engine, wishes)).rejects.toMatchObject({ code: 'GUARD_FOREIGN', exitCode: 125 })
  expect(engine.asked).toHaveLength(1)
})
