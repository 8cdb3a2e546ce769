import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { hostPaths } from '../../../src/host/paths.js'
import { beginTransaction, computePart } from '../../../src/install/apply.js'
import { askYes } from '../../../src/install/ask.js'
import { computeEdit, computeOwnFile, type NewFile } from '../../../src/install/file-change.js'
import { readFileState, writeFileAtomically } from '../../../src/install/file-state.js'
import { computeGuardService } from '../../../src/install/guard-service.js'
import { withInstallLock } from '../../../src/install/lock.js'
import { newInstallRecord, readInstallRecord, writeInstallRecord } from '../../../src/install/record.js'
import { refuseWithoutRoot } from '../../../src/install/root.js'
import { fillTemplate, readTemplate } from '../../../src/install/templates.js'
import { applyUndo, computeUndo } from '../../../src/install/undo.js'
import { formatChange, wholeFile } from '../../../src/install/unified-diff.js'
import type { Plan } from '../../../src/plan/plan.js'
import { thrown } from '../../support/thrown.js'

let dir: string
const at = (name: string) => path.join(dir, name)

beforeEach(() => {
  dir = mkdtempSync(path.join(os.tmpdir(), 'spark-install-files-'))
})

afterEach(() => rmSync(dir, { recursive: true, force: true }))

function file(name: string, content: string, ifEdited: NewFile['ifEdited'] = { kind: 'remove' }): NewFile {
  return { what: 'file', path: at(name), content, mode: 0o644, ifEdited }
}

const asDockers = { kind: 'daemon-json', runtimePath: '/x', insertedKeys: [] } as const

describe('writing a file', () => {
  it('leaves whoever has the old one open with the old one', () => {
    writeFileSync(at('program'), 'old')
    const fd = openSync(at('program'), 'r')
    writeFileAtomically(at('program'), computeOwnFile(file('program', 'new')).after)
    const buffer = Buffer.alloc(8)
    expect(buffer.toString('utf8', 0, readSync(fd, buffer))).toBe('old')
    closeSync(fd)
    expect(readFileSync(at('program'), 'utf8')).toBe('new')
    expect(readdirSync(dir)).toEqual(['program'])
  })

  it('keeps the mode of a file that is edited, whatever the umask', () => {
    writeFileSync(at('daemon.json'), '{}')
    chmodSync(at('daemon.json'), 0o666)
    const change = computeEdit(file('daemon.json', '{ }'))
    beginTransaction().apply([change], computePart([change], undefined))
    expect(statSync(at('daemon.json')).mode & 0o777).toBe(0o666)
  })

  it('writes through a link', () => {
    writeFileSync(at('target'), 'old')
    symlinkSync(at('target'), at('link'))
    writeFileAtomically(at('link'), computeOwnFile(file('link', 'new')).after)
    expect(readFileSync(at('target'), 'utf8')).toBe('new')
    expect(readdirSync(dir).sort()).toEqual(['link', 'target'])
  })
})

describe('a transaction', () => {
  it('takes everything back: files, backups and directories', async () => {
    writeFileSync(at('daemon.json'), 'theirs')
    const changes = [computeOwnFile(file('a/b/new', 'x')), computeEdit(file('daemon.json', 'ours', asDockers))]
    const transaction = beginTransaction()
    transaction.apply(changes, computePart(changes, undefined))
    expect(readFileSync(at('daemon.json.spark-run-backup'), 'utf8')).toBe('theirs')
    expect(await transaction.rollback()).toEqual([])
    expect(readdirSync(dir)).toEqual(['daemon.json'])
    expect(readFileSync(at('daemon.json'), 'utf8')).toBe('theirs')
  })

  it('says which place cannot be written and why', () => {
    writeFileSync(at('run'), 'a file where a directory should be')
    const error = thrown(() => beginTransaction().makeDirectories([at('run/spark-run/containers')]))
    expect(error.code).toBe('NOT_WRITABLE')
    expect(error.message).toContain('a part of its path is a file')
  })
})

describe('what the record says', () => {
  const apply = (content: string, previous?: ReturnType<typeof computePart>) => {
    const change = computeEdit(file('daemon.json', content, asDockers))
    const part = computePart([change], previous)
    const directories = beginTransaction().apply([change], part)
    return { ...part, directories: [...part.directories, ...directories] }
  }

  it('an untouched file becomes byte for byte what it was', () => {
    writeFileSync(at('daemon.json'), '{\t}')
    const part = apply('{ "runtimes": {} }')
    applyUndo(computeUndo(part), part)
    expect(readFileSync(at('daemon.json'), 'utf8')).toBe('{\t}')
    expect(readdirSync(dir)).toEqual(['daemon.json'])
  })

  it('after two installations it still is what it was before the first', () => {
    writeFileSync(at('daemon.json'), '{\t}')
    const part = apply('{ "b": 2 }', apply('{ "a": 1 }'))
    applyUndo(computeUndo(part), part)
    expect(readFileSync(at('daemon.json'), 'utf8')).toBe('{\t}')
  })

  it('a file that was not there goes, and its directory with it', () => {
    const change = computeOwnFile(file('etc/docker/daemon.json', '{}'))
    const part = computePart([change], undefined)
    const directories = beginTransaction().apply([change], part)
    applyUndo(computeUndo({ ...part, directories }), { ...part, directories })
    expect(readdirSync(dir)).toEqual([])
  })

  it('an edited file keeps the edit, with a warning that names the backup', () => {
    writeFileSync(at('daemon.json'), '{}')
    const part = apply('{ "runtimes": {} }')
    writeFileSync(at('daemon.json'), '{ "runtimes": {}, "debug": true }')
    const [step] = computeUndo(part)
    expect(step?.after?.content.toString()).toBe('{ "runtimes": {}, "debug": true }')
    expect(step?.warning).toMatch(/was edited since.*daemon\.json\.spark-run-backup/)
  })

  it('undoing twice, or what never came about, does no harm', () => {
    writeFileSync(at('daemon.json'), '{}')
    const change = computeEdit(file('daemon.json', 'ours', asDockers))
    const part = computePart([change], undefined)
    applyUndo(computeUndo(part), part)
    expect(readFileSync(at('daemon.json'), 'utf8')).toBe('{}')
  })

  it('survives its own file, and a broken one is refused', () => {
    const record = newInstallRecord('')
    writeInstallRecord(at('state/install.json'), record)
    expect(readInstallRecord(at('state/install.json'))).toEqual(record)
    expect(readInstallRecord(at('none'))).toBeUndefined()
    for (const text of ['', '{', '{}', '[]', '{"recordVersion":2}']) {
      writeFileSync(at('broken'), text)
      expect(thrown(() => readInstallRecord(at('broken'))).code).toBe('RECORD_BROKEN')
    }
  })
})

describe('the lock', () => {
  it('lets one in, tells the other who is in, and is free again afterwards', async () => {
    const lock = at('install.lock')
    await withInstallLock(lock, async () => {
      await expect(withInstallLock(lock, async () => 'never')).rejects.toMatchObject({
        code: 'INSTALL_BUSY',
        message: expect.stringContaining(`process ${process.pid}`),
      })
    })
    expect(await withInstallLock(lock, async () => 'in')).toBe('in')
  })
})

describe('the diff', () => {
  it('is what diff -u prints', () => {
    writeFileSync(at('daemon.json'), '{\n  "debug": true\n}\n')
    const change = computeEdit(file('daemon.json', '{\n  "debug": true,\n  "runtimes": {}\n}\n'))
    expect(formatChange(change)).toBe(
      `--- ${at('daemon.json')}\n+++ ${at('daemon.json')}\n@@ -1,3 +1,4 @@\n {\n-  "debug": true\n+  "debug": true,\n+  "runtimes": {}\n }\n`,
    )
  })

  it('without diff is a whole-file diff that patch takes', () => {
    const [before, after] = ['a\nb', 'a\nc\n']
    writeFileSync(at('f'), before)
    const text = wholeFile('f', Buffer.from(before), Buffer.from(after))
    expect(text).toContain('\\ No newline at end of file')
    const patched = spawnSync('patch', ['-s', at('f')], { input: text, encoding: 'utf8' })
    if (patched.error === undefined) expect(readFileSync(at('f'), 'utf8')).toBe(after)
  })

  it('is one line for a program, a mode or an empty file, and nothing for what stays', () => {
    expect(formatChange(computeOwnFile({ ...file('p', 'a\0b'), mode: 0o755 }))).toBe(
      `new: ${at('p')} (0755, 3 bytes)\n`,
    )
    expect(formatChange(computeOwnFile(file('ledger', '')))).toBe(`new: ${at('ledger')} (0644, empty)\n`)
    writeFileSync(at('same'), 'x')
    chmodSync(at('same'), 0o600)
    expect(formatChange(computeOwnFile(file('same', 'x')))).toContain('0600 becomes 0644')
    chmodSync(at('same'), 0o644)
    expect(formatChange(computeOwnFile(file('same', 'x')))).toBe('')
  })
})

describe('templates', () => {
  it('name a place without a value, and a value without a place', () => {
    expect(() => fillTemplate('@A@', {}, 't')).toThrow(/@A@/)
    expect(() => fillTemplate('', { A: '1' }, 't')).toThrow(/no place for A/)
  })

  it('the policy that is written first says nothing, so that every default holds', async () => {
    const { parsePolicy, defaultPolicy } = await import('../../../src/plan/policy.js')
    const { parse } = await import('jsonc-parser')
    expect(parsePolicy(parse(readTemplate('config.json')), 'hooks/config.json')).toEqual(defaultPolicy)
  })

  it('what is commented out in it is valid too', async () => {
    const { parsePolicy } = await import('../../../src/plan/policy.js')
    const { parse } = await import('jsonc-parser')
    const text = readTemplate('config.json').replaceAll(/^ {2}\/\/ (".*)$/gm, '  $1')
    expect(Object.keys(parse(text))).toContain('budget')
    expect(parsePolicy(parse(text), 'hooks/config.json').onGuardMissing).toBe('refuse')
  })

  it('the unit is one that systemd understands', (context) => {
    const values = {
      LIB_DIR: '/usr/lib/spark-run',
      ETC_DIR: '/etc/spark-run',
      GUARD_ARGS: '--run-dir /run/spark-run --log-dir /var/log/spark-run --reserve-bytes 1',
    }
    // The program is not installed where the tests run; any other one makes the check about the unit itself.
    const unit = readTemplate('systemd/spark-guard.service', values).replace(
      '/usr/lib/spark-run/spark-guard',
      '/bin/true',
    )
    writeFileSync(at('spark-guard.service'), unit)
    const { error, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', at('spark-guard.service')], {
      encoding: 'utf8',
    })
    if (error !== undefined) return context.skip('systemd-analyze is not installed')
    expect((stdout + stderr).split('\n').filter((line) => line.includes('spark-guard.service'))).toEqual([])
  })
})

describe('the service of the guard', () => {
  const plan = { host: { reserveBytes: 1024, withholdBytes: 0 } } as Plan

  it('is a systemd unit where systemd runs, with the numbers of the plan', () => {
    const service = computeGuardService(hostPaths(''), plan, dir)
    const [unit] = service.changes
    expect(service.kind).toBe('systemd')
    expect(unit?.path).toBe('/etc/systemd/system/spark-guard.service')
    // Ready when it says so; its child processes are not to inherit a real-time policy.
    expect(unit?.after.content.toString()).toMatch(/^Type=notify$/m)
    expect(unit?.after.content.toString()).not.toMatch(/^CPUScheduling/m)
    expect(unit?.after.content.toString()).toContain(
      'ExecStart=/usr/lib/spark-run/spark-guard --run-dir /run/spark-run --log-dir /var/log/spark-run --reserve-bytes 1024\n',
    )
  })

  it('is a supervised process elsewhere, and always under a prefix', () => {
    expect(computeGuardService(hostPaths(''), plan, at('none')).kind).toBe('process')
    const service = computeGuardService(hostPaths(at("o'brien")), plan, dir)
    expect(service.kind).toBe('process')
    const script = service.changes[0]?.after.content.toString() ?? ''
    writeFileSync(at('script'), script)
    expect(spawnSync('sh', ['-n', at('script')]).status).toBe(0)
    expect(script).toContain("o'\\''brien")
  })
})

describe('before anything is changed', () => {
  it('anybody but root is told how', () => {
    expect(thrown(() => refuseWithoutRoot('install', 1000))).toMatchObject({
      code: 'NOT_ROOT',
      message: 'install changes files of the system and needs root, this is user 1000',
    })
    expect(() => refuseWithoutRoot('install', 0)).not.toThrow()
  })

  it('nobody is asked where there is no terminal', async () => {
    mkdirSync(at('x'))
    const terminal = { input: { isTTY: false }, output: { isTTY: false } } as unknown as Parameters<typeof askYes>[1]
    await expect(askYes('Go on?', terminal)).rejects.toMatchObject({ code: 'NOBODY_TO_ASK', exitCode: 2 })
  })
})

it('a file that is a directory is a mistake worth a stack', () => {
  mkdirSync(at('directory'))
  expect(() => readFileState(at('directory'))).toThrow(/EISDIR/)
  expect(existsSync(at('directory'))).toBe(true)
})
