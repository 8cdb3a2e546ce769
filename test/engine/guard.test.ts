import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readMeminfo } from '../../src/host/meminfo.js'
import { cgroupMounts, GUARD, type GuardRig, guardRig } from '../support/guard-rig.js'

const MIB = 1024 ** 2
const RESERVE = 512 * MIB

const hugePages =
  Number(readFileSync('/proc/sys/vm/nr_overcommit_hugepages', 'utf8')) >= 1024
    ? ''
    : ' (skipped: no huge pages to be had)'
const unified = cgroupMounts.unified === null ? ' (skipped: no cgroup v2 that can be written)' : ''
const v1 = cgroupMounts.freezer === null || cgroupMounts.memory === null ? ' (skipped: no cgroup v1 freezer)' : ''

let rig: GuardRig
beforeEach(() => {
  rig = guardRig()
})
afterEach(() => rig.close())

describe('the guard on real memory', () => {
  const unavailable = hugePages || unified

  it.skipIf(unavailable !== '')(
    `kills the one over its budget before the reserve is touched, and nobody else${unavailable}`,
    { retry: 2 },
    async ({ skip }) => {
      const reserveBytes = 1024 * MIB
      const calm = await whileNothingElseMoves(async (availableBytes) => {
        await rig.start({ reserveBytes, withholdBytes: availableBytes - reserveBytes - 700 * MIB, real: true })
        const bystander = await rig.standIn('bystander', { takeMib: 64, budgetBytes: 256 * MIB, in: ['unified'] })
        const filler = await rig.standIn('filler', { takeMib: 1400, budgetBytes: 256 * MIB, in: ['unified'] })
        const end = await Promise.race([filler.exited(), sleep(20_000)])
        await sleep(300)
        return { end, filler, bystander }
      })
      if (calm === undefined) return skip(restless)
      expect(calm.end).toBe('SIGKILL')
      expect(calm.bystander.alive()).toBe(true)
      expect(calm.filler.said()).toContain('spark-guard: killed filler to save the host: ')
      const stone = await rig.tombstone('filler')
      expect(stone).toMatchObject({ reserveBytes, request: 'request-of-filler', budgetBytes: 256 * MIB })
      expect(stone?.killToEmptyMs).toBeGreaterThanOrEqual(0)
      expect(stone?.use.driverBytes).toBeGreaterThan(256 * MIB)
      const raw = JSON.parse(readFileSync(path.join(rig.runDir, 'tombstones/filler.json'), 'utf8'))
      const aboveMib = (raw.lowestAvailableBytes - reserveBytes) / MIB
      const fallGib = -raw.slopeBytesPerSecond / 1024 ** 3
      console.log(
        `      lowest MemAvailable ${aboveMib.toFixed(1)} MiB above the reserve at ${fallGib.toFixed(2)} GiB/s; dead after ${raw.killToEmptyMs} ms`,
      )
      expect(aboveMib).toBeGreaterThanOrEqual(0)
    },
  )

  it.skipIf(unavailable !== '')(
    `leaves one alone that stays in its budget and stops just above the reserve${unavailable}`,
    { retry: 2 },
    async ({ skip }) => {
      const calm = await whileNothingElseMoves(async (availableBytes) => {
        const withholdBytes = availableBytes - 1024 * MIB - 640 * MIB
        await rig.start({ reserveBytes: 1024 * MIB, withholdBytes, real: true })
        const polite = await rig.standIn('polite', { takeMib: 600, budgetBytes: 4096 * MIB, in: ['unified'] })
        await expect.poll(() => polite.said(), { timeout: 20_000 }).toContain('holding')
        await sleep(500)
        return { polite, leftBytes: readMeminfo('/proc/meminfo', withholdBytes).availableBytes }
      })
      if (calm === undefined) return skip(restless)
      expect(calm.leftBytes).toBeGreaterThan(1024 * MIB)
      expect(calm.leftBytes).toBeLessThan(1100 * MIB)
      expect(calm.polite.alive()).toBe(true)
      expect(await rig.events('kill')).toEqual([])
    },
  )
})

const restless = 'other programs took or gave back memory in each of ten runs'

/**
 * Memory is the whole machine's: a run during which another program moves more than 32 MiB of it proves nothing and is
 * made anew. Undefined after ten of those.
 */
async function whileNothingElseMoves<T>(run: (availableBytes: number) => Promise<T>): Promise<T | undefined> {
  const withoutOurs = () => {
    const { availableBytes, hugePages: pages } = readMeminfo()
    return availableBytes + (pages.total - pages.free) * pages.pageBytes
  }
  for (let tries = 0; tries < 10; tries++) {
    const before = withoutOurs()
    const pages = readMeminfo().hugePages.total
    const result = await run(readMeminfo().availableBytes).catch(() => undefined)
    if (result !== undefined && pages === 0 && Math.abs(withoutOurs() - before) < 32 * MIB) return result
    await rig.close()
    await sleep(1_000)
    rig = guardRig()
  }
  return undefined
}

describe('the guard on a meminfo of our own', () => {
  // The guard's helpers write after the kill, so that a test asks until it is there.
  const warnings = async () => (await rig.events('warning')).map((event) => event.sentence)

  it.skipIf(unified !== '')(`kills all of a container at once by cgroup.kill${unified}`, async () => {
    await rig.start({ reserveBytes: RESERVE })
    const fork = 'for i in 1 2 3 4 5 6 7 8; do (while :; do sleep 9; done) & done'
    const greedy = await rig.standIn('greedy', { takeMib: 8, budgetBytes: MIB, in: ['unified'], before: fork })
    await expect.poll(() => greedy.said()).toContain('holding')
    rig.setAvailable(300)
    expect(await greedy.exited()).toBe('SIGKILL')
    await expect.poll(async () => (await rig.tombstone('greedy'))?.killToEmptyMs ?? null).not.toBeNull()
    expect(await rig.tombstone('greedy')).toMatchObject({ reason: 'under-reserve', memAvailableBytes: 300 * MIB })
  })

  it.skipIf(v1 !== '')(`kills all of a container by the v1 freezer, though it forks${v1}`, async () => {
    await rig.start({ reserveBytes: RESERVE })
    const fork = '(while :; do /bin/true; done) & (while :; do sleep 0.001 & wait; done) &'
    const options = { takeMib: 8, budgetBytes: MIB, before: fork }
    const greedy = await rig.standIn('greedy', { ...options, in: ['freezer', 'memory'] })
    const polite = await rig.standIn('polite', { ...options, budgetBytes: 4096 * MIB, in: ['freezer', 'memory'] })
    await expect.poll(() => greedy.said() + polite.said()).toMatch(/holding[\s\S]*holding/)
    rig.setAvailable(300)
    expect(await greedy.exited()).toBe('SIGKILL')
    await expect.poll(async () => (await rig.tombstone('greedy'))?.killToEmptyMs ?? null).not.toBeNull()
    rig.setAvailable(4096)
    await sleep(200)
    expect(polite.alive()).toBe(true)
    const [registered] = await rig.events('register')
    expect(registered).toMatchObject({ killBy: 'freezer' })
  })

  it.skipIf(unified !== '')(`judges by priority among those over budget${unified}`, async () => {
    await rig.start({ reserveBytes: RESERVE })
    const options = { budgetBytes: MIB, in: ['unified'] as const }
    const precious = await rig.standIn('precious', { ...options, takeMib: 64, priority: 5 })
    const cheap = await rig.standIn('cheap', { ...options, takeMib: 8, priority: -5 })
    await expect.poll(() => precious.said() + cheap.said()).toMatch(/holding[\s\S]*holding/)
    rig.setAvailable(300)
    expect(await cheap.exited()).toBe('SIGKILL')
    rig.setAvailable(4096)
    await sleep(200)
    expect(precious.alive()).toBe(true)
  })

  it.skipIf(unified !== '')(`waits for the memory of a dead one before it judges again${unified}`, async () => {
    await rig.start({ reserveBytes: RESERVE })
    const options = { budgetBytes: MIB, in: ['unified'] as const }
    const first = await rig.standIn('first', { ...options, takeMib: 64 })
    const second = await rig.standIn('second', { ...options, takeMib: 8 })
    await expect.poll(() => first.said() + second.said()).toMatch(/holding[\s\S]*holding/)
    rig.setAvailable(300)
    await first.exited()
    await sleep(1_500)
    expect(second.alive()).toBe(true)
    // The shrinkers run after 2 s, and when a second later still nothing is back the next one goes.
    expect(await second.exited()).toBe('SIGKILL')
    await expect
      .poll(() => warnings())
      .toContain('first was killed and is gone, but its memory did not come back: judging again')
  })

  it.skipIf(unified !== '')(`never kills a cgroup that others lived in before the container${unified}`, async () => {
    await rig.start({ reserveBytes: RESERVE })
    const shell = await rig.standIn('shell', { takeMib: 2, budgetBytes: 4096 * MIB, in: ['unified'], group: 'session' })
    await sleep(1_200)
    const guest = await rig.standIn('guest', { takeMib: 64, budgetBytes: MIB, in: ['unified'], group: 'session' })
    await expect.poll(() => guest.said()).toContain('holding')
    await expect
      .poll(() => warnings())
      .toContainEqual(expect.stringMatching(/^the cgroup .* of container guest also holds process \d+, which is older/))
    rig.setAvailable(300)
    await sleep(500)
    expect([shell.alive(), guest.alive()]).toEqual([true, true])
  })

  it.skipIf(unified !== '')(
    `lets the largest die for what a host process took, where the policy says so${unified}`,
    async () => {
      await rig.start({ reserveBytes: RESERVE, onForeign: 'kill-largest' })
      rig.setAvailable(8000)
      const small = await rig.standIn('small', { takeMib: 8, budgetBytes: 4096 * MIB, in: ['unified'] })
      const large = await rig.standIn('large', { takeMib: 64, budgetBytes: 4096 * MIB, in: ['unified'] })
      await expect.poll(() => small.said() + large.said()).toMatch(/holding[\s\S]*holding/)
      // The guard takes stock once a second at most, while memory is plentiful.
      await sleep(6_000)
      rig.setAvailable(300)
      expect(await large.exited()).toBe('SIGKILL')
      rig.setAvailable(8000)
      expect(small.alive()).toBe(true)
      await expect.poll(() => rig.tombstone('large')).toMatchObject({ rule: 'on-foreign-largest' })
      await expect
        .poll(() => large.said())
        .toContain('the policy (onForeign: kill-largest) has the largest container die for it')
    },
  )

  it.skipIf(unified !== '')(`knows its containers again when it is killed and started anew${unified}`, async () => {
    const first = await rig.start({ reserveBytes: RESERVE })
    const greedy = await rig.standIn('greedy', { takeMib: 8, budgetBytes: MIB, in: ['unified'] })
    await expect.poll(() => greedy.said()).toContain('holding')
    process.kill(first.pid, 'SIGKILL')
    await first.stop()
    await rig.start({ reserveBytes: RESERVE })
    rig.setAvailable(300)
    expect(await greedy.exited()).toBe('SIGKILL')
    expect(await rig.events('start')).toHaveLength(2)
  })

  it('is one on each run directory, and ends cleanly', async () => {
    const guard = await rig.start({ reserveBytes: RESERVE })
    const state = readFileSync(path.join(rig.runDir, 'guard.state'), 'utf8')
    expect(state).toMatch(new RegExp(`^version=1\npid=${guard.pid}\nstarted_ns=\\d+\nreserve_bytes=${RESERVE}\n`))
    const second = runGuard('--reserve-bytes', String(RESERVE))
    expect(second).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^spark-guard: another guard already watches .*\.$/m),
    })
    await guard.stop()
    expect(existsSync(path.join(rig.runDir, 'guard.state'))).toBe(false)
    expect(await rig.events('stop')).toHaveLength(1)
  })

  it('is small, allocates nothing and wakes ten times a second while nothing happens', async () => {
    const guard = await rig.start({ reserveBytes: RESERVE })
    rig.setAvailable(8000)
    const status = (key: string) =>
      Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${guard.pid}/status`, 'utf8'))?.[1])
    await sleep(500)
    const [data, wakes] = [status('VmData'), status('voluntary_ctxt_switches')]
    const from = performance.now()
    await sleep(4_000)
    const perSecond = (status('voluntary_ctxt_switches') - wakes) / ((performance.now() - from) / 1000)
    console.log(`      RSS ${status('VmRSS')} KiB, ${perSecond.toFixed(1)} wakes a second at rest`)
    expect(status('VmRSS')).toBeLessThan(2048)
    expect(status('VmData')).toBe(data)
    // What a wake costs is the machine's (npm run bench -- guard tells), how many there are is not: one each 100 ms, and housekeeping.
    expect(perSecond).toBeGreaterThan(2)
    expect(perSecond).toBeLessThan(25)
  })

  it('answers bad options with one sentence', () => {
    writeFileSync(path.join(rig.runDir, '../no-available'), 'MemTotal: 1000 kB\n')
    const reserve = ['--reserve-bytes', '1048576']
    const cases: [readonly string[], number, RegExp][] = [
      [[], 2, /--reserve-bytes is missing: give it, as in/],
      [['--reserve-bytes', '40x'], 2, /--reserve-bytes got "40x": give a whole number from 1 to \d+, digits only/],
      [['--reserve-bytes', '0'], 2, /--reserve-bytes got "0": give a whole number from 1/],
      [['--reserve-bytes'], 2, /--reserve-bytes needs a value/],
      [['--reserve-bytes', '99999999999999999999'], 2, /give a whole number/],
      [[...reserve, '--bogus'], 2, /"--bogus" is not an option of spark-guard: see spark-guard --help/],
      [
        ['--reserve-bytes', String(2 ** 45)],
        1,
        /the reserve of 32.0 TiB is not less than the 8.0 GiB of memory of this machine: give a smaller/,
      ],
      [
        [...reserve, '--meminfo', path.join(rig.runDir, '../no-available')],
        1,
        /cannot read MemTotal and MemAvailable from .*no-available/,
      ],
      [
        [...reserve, '--run-dir', '/proc/nowhere'],
        1,
        /cannot open the directory \/proc\/nowhere: create it, or name another one/,
      ],
      [[...reserve, '--cgroup-root', rig.logDir], 1, /this guard cannot kill containers here: .* run it as root/],
    ]
    for (const [args, status, sentence] of cases) {
      const result = runGuard(...args)
      expect(result.stderr).toMatch(sentence)
      expect(result.stderr.trimEnd().split('\n')).toHaveLength(1)
      expect(result.status).toBe(status)
    }
  })

  function runGuard(...args: string[]) {
    const base = ['--run-dir', rig.runDir, '--log-dir', rig.logDir, '--meminfo', rig.meminfo]
    return spawnSync(GUARD, [...base, ...args], { encoding: 'utf8', timeout: 10_000 })
  }
})
