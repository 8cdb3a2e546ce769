import { readFileSync } from 'node:fs'
import { Flags } from '@oclif/core'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { BaseCommand, describeFailure } from '../../../src/cli/base-command.js'
import { ExpectedError } from '../../../src/errors.js'
import { packageDir } from '../../../src/host/package-files.js'

/** Does what its flag says. */
class Sample extends BaseCommand {
  static override flags = { fail: Flags.string({ options: ['expected', 'hintless', 'system', 'bug'] }) }

  async run(): Promise<{ schemaVersion: 1 }> {
    const { flags } = await this.parse(Sample)
    if (flags.fail === 'expected')
      throw new ExpectedError('NO_ROOM', 'no room left', { hint: 'Ask for less.', exitCode: 125 })
    if (flags.fail === 'hintless') throw new ExpectedError('NO_ROOM', 'no room at 100 %s')
    if (flags.fail === 'system') readFileSync('/proc')
    if (flags.fail === 'bug') throw new TypeError('a bug')
    this.print(['one', '100 %s'])
    return { schemaVersion: 1 }
  }
}

let out = ''
let err = ''
beforeEach(() => {
  out = ''
  err = ''
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text)
    return true
  })
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += String(text)
    return true
  })
})
afterEach(() => {
  vi.restoreAllMocks()
  process.exitCode = undefined
})

const run = (...argv: string[]) => Sample.run(argv, { root: packageDir })

describe('a command for people', () => {
  test('prints its lines on stdout as they are', async () => {
    await run()
    expect([out, err]).toEqual(['one\n100 %s\n', ''])
  })
  test('a failure is one sentence and a hint on stderr, with its exit code and no stack', async () => {
    await run('--fail', 'expected')
    expect([out, err, process.exitCode]).toEqual(['', 'spark-run: no room left\nAsk for less.\n', 125])
  })
  test('a failure without a hint is the sentence alone', async () => {
    await run('--fail', 'hintless')
    expect([err, process.exitCode]).toEqual(['spark-run: no room at 100 %s\n', 1])
  })
  test('what the system refuses is one sentence, too', async () => {
    await run('--fail', 'system')
    expect(err).toBe('spark-run: this machine refuses: EISDIR: illegal operation on a directory, read\n')
    expect(process.exitCode).toBe(1)
  })
  test('an unknown flag names itself and the help', async () => {
    await run('--bogus')
    expect(err).toMatch(/^spark-run: nonexistent flag: --bogus\nSee: spark-run .*--help\n$/)
    expect(process.exitCode).toBe(2)
  })
  test('a bug is not dressed up as a failure', async () => {
    await expect(run('--fail', 'bug')).rejects.toThrow('a bug')
  })
})

describe('the same command with --json', () => {
  test('prints its result and nothing else', async () => {
    await run('--json')
    expect([JSON.parse(out), err]).toEqual([{ schemaVersion: 1 }, ''])
  })
  test('a failure is a small object on stdout with the same exit code', async () => {
    await run('--json', '--fail', 'expected')
    expect(JSON.parse(out)).toEqual({
      error: { code: 'NO_ROOM', message: 'no room left', hint: 'Ask for less.', exit: 125 },
    })
    expect([err, process.exitCode]).toEqual(['', 125])
  })
  test('a wrong flag is as small, with the exit code of the text form', async () => {
    await run('--json', '--bogus')
    expect(out.length).toBeLessThan(200)
    expect(JSON.parse(out).error).toMatchObject({ code: 'USAGE', message: 'nonexistent flag: --bogus', exit: 2 })
    expect(process.exitCode).toBe(2)
  })
  test('a bug is an object too', async () => {
    await run('--json', '--fail', 'bug')
    expect(JSON.parse(out).error).toEqual({ code: 'UNEXPECTED', message: 'a bug', hint: null, exit: 1 })
  })
})

describe('what counts as a failure', () => {
  test('an ordinary error is none', () => expect(describeFailure(new Error('x'), 'plan')).toBeUndefined())
})
