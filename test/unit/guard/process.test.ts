import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { computeGuardArguments, startGuardProcess, startSupervisedGuard } from '../../../src/guard/process.js'
import { packageDir } from '../../../src/host/package-files.js'
import { endProcessByIdentity, isRunning, readProcessIdentity } from '../../../src/host/process-identity.js'

let dir: string

beforeEach(() => {
  dir = mkdtempSync(path.join(os.tmpdir(), 'spark-guard-process-'))
})

afterEach(() => {
  rmSync(dir, { recursive: true, force: true })
})

/** A stand-in for spark-guard that knows `--ready-fd`: these tests are about starting and ending a program, any program. */
function writeGuard(body: string): string {
  const file = path.join(dir, 'spark-guard')
  writeFileSync(file, `#!/bin/sh\necho "$$ $*" >>"${dir}/starts"\n${body}\n`)
  chmodSync(file, 0o755)
  return file
}

function options(binary: string) {
  return { binary, runDir: path.join(dir, 'run'), logDir: path.join(dir, 'log'), reserveBytes: 1000 }
}

function starts(): string[] {
  return readFileSync(path.join(dir, 'starts'), 'utf8').trim().split('\n')
}

const READY_THEN_SLEEP = 'echo ready >&3; exec 3>&-; exec sleep 60'

describe('startGuardProcess', () => {
  it('returns when the guard says that it is ready, and ends it on stop', async () => {
    const guard = await startGuardProcess(options(writeGuard(READY_THEN_SLEEP)))
    const identity = readProcessIdentity(guard.pid)
    expect(identity).toBeDefined()
    await guard.stop()
    await guard.stop()
    expect(readProcessIdentity(guard.pid)).toBeUndefined()
  })

  it('tells the exit code and the last words of a guard that gives up', async () => {
    const binary = writeGuard('echo "registry is not writable" >&2; exit 3')
    await expect(startGuardProcess(options(binary))).rejects.toMatchObject({
      code: 'GUARD_NOT_READY',
      message: expect.stringContaining('it ended with exit code 3 and said: registry is not writable'),
    })
  })

  it('does not repeat what an earlier guard left in the log', async () => {
    await startGuardProcess(options(writeGuard('echo old >&2; exit 3'))).catch(() => {})
    await expect(startGuardProcess(options(writeGuard('exit 4')))).rejects.toThrow(/exit code 4$/)
  })

  it('ends a guard that never becomes ready', async () => {
    const binary = writeGuard('exec sleep 60')
    await expect(startGuardProcess({ ...options(binary), readyDeadlineMs: 300 })).rejects.toThrow(
      /did not become ready within 0.3 s/,
    )
    expect(readProcessIdentity(Number(starts()[0]?.split(' ')[0]))).toBeUndefined()
  })

  it('names a program that is not there', async () => {
    await expect(startGuardProcess(options(path.join(dir, 'missing')))).rejects.toThrow(/missing/)
  })
})

describe('computeGuardArguments', () => {
  it('leaves out what is zero', () => {
    expect(computeGuardArguments({ ...options('x'), withholdBytes: 0 })).not.toContain('--withhold-bytes')
    expect(computeGuardArguments({ ...options('x'), withholdBytes: 5 }).slice(-2)).toEqual(['--withhold-bytes', '5'])
  })
})

describe('startSupervisedGuard', () => {
  afterEach(() => {
    vi.unstubAllEnvs()
  })

  function writeService(): string {
    const template = readFileSync(path.join(packageDir, 'hooks/guard/spark-guard-service'), 'utf8')
    const file = path.join(dir, 'spark-guard-service')
    const values = {
      RUN_DIR: `${dir}/run`,
      LOG_DIR: `${dir}/log`,
      LIB_DIR: dir,
      GUARD_ARGS: `'--reserve-bytes' '1000'`,
    }
    const text = Object.entries(values).reduce((all, [name, value]) => all.replaceAll(`@${name}@`, value), template)
    writeFileSync(file, text, { mode: 0o755 })
    return file
  }

  it('starts the guard again when it dies, and ends with one signal', async () => {
    const binary = writeGuard('[ $# -lt 5 ] || echo ready >&3; exec 3>&-; exec sleep 60')
    const supervisor = await startSupervisedGuard(writeService(), options(binary))
    const first = Number(starts()[0]?.split(' ')[0])
    process.kill(first, 'SIGKILL')
    while (starts().length < 2) await sleep(50)
    expect(starts().map((line) => line.split(' ').slice(1).join(' '))).toEqual([
      '--supervise --reserve-bytes 1000 --ready-fd 3',
      '--supervise --reserve-bytes 1000',
    ])
    const second = readProcessIdentity(Number(starts()[1]?.split(' ')[0]))
    expect(await endProcessByIdentity(supervisor)).toBe(true)
    expect(second && isRunning(second)).toBe(false)
  })

  it('keeps the service manager of whoever installs out of it', async () => {
    vi.stubEnv('NOTIFY_SOCKET', '@of-somebody-else')
    const binary = writeGuard(`echo "[$\{NOTIFY_SOCKET-none}]" >"${dir}/manager"; ${READY_THEN_SLEEP}`)
    const supervisor = await startSupervisedGuard(writeService(), options(binary))
    expect(readFileSync(path.join(dir, 'manager'), 'utf8')).toBe('[none]\n')
    await endProcessByIdentity(supervisor)
  })

  it("takes the guard's last words for the reason, not what its supervisors say of its end", async () => {
    const words = 'echo "spark-guard: out of luck" >&2; echo "spark-guard-supervisor: the guard ended" >&2; exit 3'
    await expect(startSupervisedGuard(writeService(), options(writeGuard(words)))).rejects.toThrow(
      /and said: spark-guard: out of luck$/,
    )
  })

  it('leaves nothing running when the guard gives up', async () => {
    const binary = writeGuard('exit 3')
    await expect(
      startSupervisedGuard(writeService(), { ...options(binary), readyDeadlineMs: 500 }),
    ).rejects.toMatchObject({ code: 'GUARD_NOT_READY' })
    const before = starts().length
    await sleep(1_500)
    expect(starts().length).toBe(before)
  })
})
