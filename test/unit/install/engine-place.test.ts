import { chmodSync, copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DaemonProcess } from '../../../src/engines/docker/daemon-process.js'
import { findDaemonProcess, flagValue } from '../../../src/engines/docker/daemon-process.js'
import {
  chooseDaemonJson,
  refuseFlagConflicts,
  refuseUnsupported,
  socketPathOf,
} from '../../../src/engines/docker/docker-place.js'
import { parseEngineName } from '../../../src/engines/engine-name.js'
import { checkNextRuntime, resolveProgram } from '../../../src/engines/next-runtime.js'
import { thrown } from '../../support/thrown.js'

const info = {
  defaultRuntime: 'runc',
  runtimes: new Map(),
  rootDir: '/var/lib/docker',
  operatingSystem: 'Ubuntu 24.04.1 LTS',
  securityOptions: ['name=seccomp,profile=builtin'],
}

function daemon(...args: string[]): DaemonProcess {
  return {
    identity: { pid: 4711, startTicks: 1 },
    args: ['/usr/bin/dockerd', ...args],
    executable: '/usr/bin/dockerd',
    searchPath: '/usr/bin',
  }
}

describe('kinds of Docker that cannot be configured are refused with the reason', () => {
  const cases = [
    ['DOCKER_DESKTOP', { info: { ...info, operatingSystem: 'Docker Desktop' }, daemon: undefined }, /virtual machine/],
    ['DOCKER_ROOTLESS', { info: { ...info, securityOptions: ['name=rootless'] }, daemon: undefined }, /rootless/],
    ['DOCKER_SNAP', { info: { ...info, rootDir: '/var/snap/docker/common' }, daemon: undefined }, /snap/],
    [
      'DOCKER_SNAP',
      { info, daemon: { ...daemon(), executable: '/snap/docker/2915/bin/dockerd' } },
      /comes from a snap/,
    ],
  ] as const
  for (const [code, seen, message] of cases) {
    it(`${code}: ${message.source}`, () => {
      const error = thrown(() => refuseUnsupported({ ...seen, onHost: true }))
      expect(error.code).toBe(code)
      expect(error.message).toMatch(message)
      expect(error.hint).toBeDefined()
    })
  }

  it('an ordinary Docker Engine is fine', () => {
    expect(() => refuseUnsupported({ info, daemon: daemon(), onHost: true })).not.toThrow()
  })
})

describe('flags of dockerd', () => {
  it('a runtime given as a flag would stop Docker from starting again', () => {
    const error = thrown(() => refuseFlagConflicts(daemon('--add-runtime', 'nvidia=/usr/bin/nvidia'), false))
    expect(error.code).toBe('DOCKER_FLAG_CONFLICT')
    expect(error.message).toContain('--add-runtime nvidia=/usr/bin/nvidia')
  })

  it('a default runtime given as a flag matters only to --default-runtime', () => {
    const running = daemon('--default-runtime=nvidia')
    expect(() => refuseFlagConflicts(running, false)).not.toThrow()
    expect(thrown(() => refuseFlagConflicts(running, true)).message).toContain('"default-runtime"')
  })

  it('the last of two counts, in both ways of writing', () => {
    expect(flagValue(['--config-file', '/a', '--config-file=/b'], '--config-file')).toBe('/b')
    expect(flagValue(['--config-file'], '--config-file')).toBeUndefined()
  })

  it('the configuration file is the one that the daemon reads', () => {
    expect(chooseDaemonJson(undefined, daemon('--config-file', '/x.json'), '')).toBe('/x.json')
    expect(chooseDaemonJson(undefined, daemon(), '')).toBe('/etc/docker/daemon.json')
    expect(chooseDaemonJson(undefined, undefined, '/p')).toBe('/p/etc/docker/daemon.json')
    expect(chooseDaemonJson('/x.json', daemon('--config-file=/x.json'), '')).toBe('/x.json')
  })

  it('a file that the daemon does not read is refused', () => {
    const error = thrown(() => chooseDaemonJson('/y.json', daemon('--config-file', '/x.json'), ''))
    expect(error.code).toBe('DAEMON_JSON_UNREAD')
    expect(error.message).toContain('reads /x.json')
  })
})

describe('the socket', () => {
  it('is a unix socket, with or without its scheme', () => {
    expect(socketPathOf('unix:///var/run/docker.sock')).toBe('/var/run/docker.sock')
    expect(socketPathOf('/run/d.sock')).toBe('/run/d.sock')
  })

  for (const host of ['tcp://10.0.0.1:2375', 'ssh://me@spark', 'nonsense', '']) {
    it(`${host || 'nothing'} is refused`, () => {
      expect(thrown(() => socketPathOf(host))).toMatchObject({ code: 'DOCKER_REMOTE', exitCode: 2 })
    })
  }

  it('on which no dockerd listens gives no process', () => {
    expect(findDaemonProcess('/nonexistent/docker.sock')).toBeUndefined()
  })
})

describe('the name of an engine', () => {
  it('is suggested where a letter is wrong', () => {
    const error = thrown(() => parseEngineName('dokcer'))
    expect(error).toMatchObject({ code: 'ENGINE_UNKNOWN', exitCode: 2, hint: 'Did you mean docker?' })
    expect(error.message).toContain('docker, podman')
    expect(thrown(() => parseEngineName('Podman')).hint).toBe('Did you mean podman?')
  })

  it('is not guessed from something else', () => {
    expect(thrown(() => parseEngineName('containerd')).hint).toBeUndefined()
  })
})

describe('the next runtime', () => {
  let dir: string
  const at = (name: string) => path.join(dir, name)

  beforeAll(() => {
    dir = mkdtempSync(path.join(os.tmpdir(), 'spark-next-runtime-'))
    const script = (name: string, mode: number, text = '#!/bin/sh\n') => {
      writeFileSync(at(name), text)
      chmodSync(at(name), mode)
    }
    script('text', 0o644)
    script('open', 0o777)
    script('spark-runtime', 0o755, '#!/bin/sh\n# ours\n')
    copyFileSync(at('spark-runtime'), at('copy-of-ours'))
    chmodSync(at('copy-of-ours'), 0o755)
    symlinkSync(at('spark-runtime'), at('link-to-ours'))
  })

  afterAll(() => rmSync(dir, { recursive: true, force: true }))

  const cases = [
    ['NEXT_RUNTIME_RELATIVE', () => 'runc', /not an absolute path/],
    ['NEXT_RUNTIME_MISSING', () => at('gone'), /does not exist/],
    ['NEXT_RUNTIME_NOT_A_PROGRAM', () => at('text'), /not a program/],
    ['NEXT_RUNTIME_NOT_A_PROGRAM', () => dir, /not a program/],
    ['NEXT_RUNTIME_UNSAFE', () => at('open'), /by others than root/],
  ] as const
  for (const [code, candidate, message] of cases) {
    it(`${code}: ${message.source}`, () => {
      const error = thrown(() => checkNextRuntime(candidate(), at('spark-runtime')))
      expect(error.code).toBe(code)
      expect(error.message).toMatch(message)
    })
  }

  it.skipIf(process.geteuid?.() !== 0)('is never ourselves: by name, by link, or as a copy (needs root)', () => {
    for (const candidate of ['spark-runtime', 'link-to-ours', 'copy-of-ours']) {
      expect(thrown(() => checkNextRuntime(at(candidate), at('spark-runtime'))).code).toBe('NEXT_RUNTIME_OURSELVES')
    }
  })

  it('is looked up on a search path by name', () => {
    expect(resolveProgram('copy-of-ours', `relative:${dir}`)).toBe(at('copy-of-ours'))
    expect(resolveProgram('text', dir)).toBeUndefined()
    expect(resolveProgram('/any/where')).toBe('/any/where')
  })
})
