import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readGuardPresence } from '../../../src/host/guard-presence.js'

let dir = ''
let paths = { guardLockFile: '', guardStateFile: '' }
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'spark-run-presence-'))
  paths = { guardLockFile: path.join(dir, 'guard.lock'), guardStateFile: path.join(dir, 'guard.state') }
})
afterEach(() => rmSync(dir, { recursive: true }))

const STATE = `version=1
pid=4711
started_ns=1
reserve_bytes=1000
withhold_bytes=10
ready=1
soft=1
kill_by=freezer
realtime=0
locked_memory=1
`

function procWith(locks: string, comm?: string): string {
  const proc = path.join(dir, 'proc')
  mkdirSync(path.join(proc, '4711'), { recursive: true })
  writeFileSync(path.join(proc, 'locks'), locks)
  if (comm !== undefined) writeFileSync(path.join(proc, '4711/comm'), `${comm}\n`)
  return proc
}

describe('whether a guard runs', () => {
  test('no lock file, no state: none', () => {
    expect(readGuardPresence(paths, procWith(''))).toEqual({ running: false, state: null })
  })
  test('a lock file that nobody holds and a state left behind: none', () => {
    writeFileSync(paths.guardLockFile, '')
    writeFileSync(paths.guardStateFile, STATE)
    expect(readGuardPresence(paths, procWith('', 'bash'))).toEqual({ running: false, state: null })
  })
  test('a lock on another file of the same number elsewhere is not ours', () => {
    writeFileSync(paths.guardLockFile, '')
    const { ino } = statSync(paths.guardLockFile)
    expect(readGuardPresence(paths, procWith(`1: FLOCK  ADVISORY  WRITE 9 ff:fe:${ino} 0 EOF\n`)).running).toBe(false)
  })
  test('where locks cannot be matched to files, the process with its name counts', () => {
    writeFileSync(paths.guardStateFile, STATE)
    expect(readGuardPresence(paths, procWith('', 'spark-guard'))).toEqual({
      running: true,
      state: {
        pid: 4711,
        reserveBytes: 1000,
        withholdBytes: 10,
        soft: true,
        killBy: 'freezer',
        realtime: false,
        lockedMemory: true,
      },
    })
  })

  const hasFlock = spawnSync('flock', ['--version']).status === 0
  test.skipIf(!hasFlock)('a real lock held by a real process is seen, and gone with it (needs flock)', async () => {
    writeFileSync(paths.guardLockFile, '')
    const holder = spawn('flock', ['--exclusive', '--no-fork', paths.guardLockFile, 'sh', '-c', 'echo held; read _'])
    try {
      await once(holder.stdout, 'data')
      expect(readGuardPresence(paths)).toEqual({ running: true, state: null })
    } finally {
      holder.stdin.end()
      await once(holder, 'exit')
    }
    expect(readGuardPresence(paths).running).toBe(false)
  })
})
