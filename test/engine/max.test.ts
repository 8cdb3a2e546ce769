import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildImage } from '../../src/images/build.js'
import { prepareMaxRoot } from '../../src/images/max-root.js'
import {
  addDocker,
  because,
  MIB,
  missingForDockerTests,
  type PrivateMachine,
  startPrivateMachine,
} from '../support/private-machine.js'

const missing = missingForDockerTests()
if (missing.length === 0) {
  await prepareMaxRoot({}).catch((error: Error) => missing.push(error.message))
}

describe.skipIf(missing.length > 0)(`the real MAX in a container${because(missing)}`, () => {
  let machine: PrivateMachine
  let image: string
  beforeAll(async () => {
    // What MAX is told and refused has nothing to do with the guard; the programs beside it shall have nothing to do with MAX.
    machine = await startPrivateMachine(4096 * MIB)
    const { docker } = await addDocker(machine)
    image = await buildImage(docker, 'max')
  })
  afterAll(() => machine?.stop())

  const budget = ['--budget', '768m']
  const probe = ['--size', '64m', '--json']

  it('sees its budget, plans with it, stays inside and is refused cleanly', async () => {
    const { status, talk, stdout, stderr } = await machine.sparkRun(
      ...budget,
      'docker',
      'run',
      '--rm',
      ...machine.gpu(),
      image,
      ...probe,
    )
    expect(status, stderr).toBe(0)
    expect(talk.saw?.totalBytes).toBe(768 * MIB)
    expect(talk.heldBytes).toBeGreaterThan(128 * MIB)
    expect(talk.heldBytes).toBeLessThanOrEqual(768 * MIB)
    expect(talk).toMatchObject({ refusals: 1, done: true })
    const stats = stdout.split('\n').find((line) => line.includes('"stats"')) ?? '{}'
    expect((JSON.parse(stats) as { stats: { total_memory: number } }).stats.total_memory).toBeLessThanOrEqual(768 * MIB)
  })

  it('without spark-run would have taken the machine', async () => {
    const args = ['run', '--rm', ...machine.gpu(), image, '--buffers', '1', ...probe]
    const { status, talk, stderr } = await machine.run('docker', args)
    expect(status, stderr).toBe(0)
    expect(talk.saw?.totalBytes).toBe(machine.machine.sizeBytes)
  })
})
