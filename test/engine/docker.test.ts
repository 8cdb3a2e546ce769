import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { readTombstones, type Tombstone } from '../../src/guard/tombstones.js'
import { readMeminfo } from '../../src/host/meminfo.js'
import {
  addDocker,
  because,
  MIB,
  missingForDockerTests,
  type PrivateMachine,
  startPrivateMachine,
  waitUntilHolding,
} from '../support/private-machine.js'

const missing = missingForDockerTests()

describe.skipIf(missing.length > 0)(`the main job on Docker${because(missing)}`, () => {
  let machine: PrivateMachine
  let docker: Awaited<ReturnType<typeof addDocker>>['docker']
  let greedy: string
  const wantsAll = ['--mode', 'greedy', '--chunk', '64m', '--json']

  beforeAll(async () => {
    machine = await startPrivateMachine()
    ;({ docker, greedy } = await addDocker(machine))
  })
  afterEach(async () => {
    const containers = await docker.listContainers({ all: true })
    await Promise.all(containers.map((entry) => docker.getContainer(entry.Id).remove({ force: true })))
  })
  afterAll(() => machine?.stop())

  const held = (...args: string[]) => machine.sparkRun(...args)
  const start = async (budget: string, name: string, ...args: string[]) => {
    const run = ['--budget', budget, 'docker', 'run', '-d', '--name', name, ...machine.gpu(), greedy, ...args]
    const { status, stderr } = await machine.sparkRun(...run)
    expect(status, stderr).toBe(0)
  }

  it('an engine sees its budget, gets it and nothing beyond, and goes on', async () => {
    const { status, talk, stderr } = await held(
      '--budget',
      '512m',
      'docker',
      'run',
      '--rm',
      ...machine.gpu(),
      greedy,
      ...wantsAll,
    )
    expect(status, stderr).toBe(0)
    expect(talk.saw?.totalBytes).toBe(512 * MIB)
    expect(talk.heldBytes).toBeGreaterThan(384 * MIB)
    expect(talk.heldBytes).toBeLessThanOrEqual(512 * MIB)
    expect(talk).toMatchObject({ refusals: expect.any(Number), refusedWith: 'CUDA_ERROR_OUT_OF_MEMORY', done: true })
  })

  it('docker alone, with the runtime and a variable of the story, does the same', async () => {
    const wish = ['-e', 'NVIDIA_GPU_MEMORY_LIMIT=384']
    const args = ['run', '--rm', '--runtime', 'spark', ...wish, ...machine.gpu(), greedy, ...wantsAll]
    const { status, talk, stderr } = await machine.run('docker', args)
    expect(status, stderr).toBe(0)
    expect(talk.saw?.totalBytes).toBe(384 * MIB)
    expect(talk.heldBytes).toBeLessThanOrEqual(384 * MIB)
  })

  it('docker exec is in the same budget', async () => {
    await start('512m', 'host', '--mode', 'polite', '--percent', '50', '--chunk', '64m', '--hold', '60', '--json')
    await waitUntilHolding(machine, ['docker'], 'host', 50)
    const { talk } = await machine.run('docker', ['exec', 'host', '/bin/greedy', ...wantsAll])
    expect(talk.saw?.totalBytes).toBe(512 * MIB)
    // The first holds half of what was free, in whole pieces of 2 MiB.
    expect(talk.saw?.freeBytes).toBeLessThanOrEqual(260 * MIB)
    expect(talk.heldBytes).toBeLessThanOrEqual(260 * MIB)
    expect(talk.refusedWith).toBe('CUDA_ERROR_OUT_OF_MEMORY')
  })

  it('a budget that does not fit is refused before anything starts, and it says who holds what', async () => {
    const first = Math.floor(machine.usableBytes / MIB) - 300
    await start(`${first}m`, 'first', '--mode', 'polite', '--percent', '1', '--chunk', '2m', '--hold', '60', '--json')
    const { status, stderr } = await held(
      '--budget',
      '512m',
      'docker',
      'run',
      '--name',
      'second',
      ...machine.gpu(),
      greedy,
    )
    expect(status).toBe(125)
    expect(stderr).toContain('512.0 MiB')
    expect(stderr).toContain('first')
    const running = await docker.listContainers()
    expect(running.map((entry) => entry.Names[0])).toEqual(['/first'])
  })

  it('an engine past every library is killed, told why in its own log, and nobody else', async () => {
    await start('256m', 'bystander', '--mode', 'polite', '--percent', '50', '--chunk', '64m', '--hold', '120', '--json')
    await waitUntilHolding(machine, ['docker'], 'bystander', 50)
    let lowestBytes = Number.MAX_SAFE_INTEGER
    const watch = setInterval(() => {
      const { availableBytes } = readMeminfo('/proc/meminfo', machine.machine.withholdBytes)
      lowestBytes = Math.min(lowestBytes, availableBytes)
    }, 2)
    const ran = await held(
      '--budget',
      '384m',
      'docker',
      'run',
      '--name',
      'culprit',
      ...machine.gpu(),
      greedy,
      ...machine.bypass(),
    )
    clearInterval(watch)

    expect(ran.status).toBe(137)
    expect(lowestBytes).toBeGreaterThanOrEqual(machine.machine.reserveBytes)
    const [tombstone] = await readTombstones(machine.paths.tombstoneDir)
    expect(tombstone).toMatchObject({ name: 'culprit', engine: 'docker', budgetBytes: 384 * MIB })
    const sentence = tombstone?.sentence ?? 'no tombstone'
    expect(sentence).toMatch(/^killed culprit to save the host: /)
    expect(ran.stderr).toContain(`spark-run: ${sentence}`)
    expect((await machine.run('docker', ['logs', 'culprit'])).stderr).toContain(`spark-guard: ${sentence}`)
    expect((await held('explain', 'culprit')).stdout).toContain(sentence)

    await sleep(500)
    const { State } = await docker.getContainer('bystander').inspect()
    expect(State.Running).toBe(true)
    expect(await readTombstones(machine.paths.tombstoneDir)).toHaveLength(1)
  })

  it('one that Docker starts again by itself cools down first, and its kills are counted', async () => {
    const always = [
      'docker',
      'run',
      '-d',
      '--restart=always',
      '--name',
      'again',
      ...machine.gpu(),
      greedy,
      ...machine.bypass(),
    ]
    const ran = await held('--budget', '384m', ...always)
    expect(ran.status, ran.stderr).toBe(0)
    const kill = async (count: number): Promise<Tombstone> => {
      const deadline = Date.now() + 60_000
      for (;;) {
        const found = (await readTombstones(machine.paths.tombstoneDir)).find((stone) => stone.name === 'again')
        if (found !== undefined && found.kills >= count) return found
        if (Date.now() > deadline) throw new Error(`no kill number ${count} of it, last ${JSON.stringify(found)}`)
        await sleep(100)
      }
    }
    const first = await kill(1)
    const second = await kill(2)
    // Not sooner than five seconds after the first: that is the cool-down, however slow the machine is.
    expect(Date.parse(second.killedAt) - Date.parse(first.killedAt)).toBeGreaterThan(4_900)
    expect(second).toMatchObject({ id: first.id, kills: 2 })
    expect((await held('explain', 'again')).stdout).toContain('kills in a row')
  }, 120_000)
})
