import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import { computeImageEnv, computeUserEnv } from '../../../src/launch/container-env.js'
import { computeDockerOptions } from '../../../src/launch/docker-endpoint.js'
import { findGlobalRuntime } from '../../../src/launch/podman-carrier.js'
import { quoteCommand } from '../../../src/launch/shell-quote.js'

test('variables come from flags, files and the caller, later ones win', () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'spark-env-'))
  try {
    const file = path.join(dir, 'env')
    writeFileSync(file, '# comment\n\nA=file\r\nB=b=c\n  C=indented\nINHERITED\n')
    const given = { env: ['A=flag', 'HOME_TOWN', 'EMPTY=', 'ABSENT'], envFiles: [file, path.join(dir, 'absent')] }
    expect(computeUserEnv(given, { HOME_TOWN: 'x', INHERITED: 'y' })).toEqual({
      A: 'flag',
      B: 'b=c',
      C: 'indented',
      INHERITED: 'y',
      HOME_TOWN: 'x',
      EMPTY: '',
    })
  } finally {
    rmSync(dir, { recursive: true })
  }
  expect(computeImageEnv(['PATH=/bin', 'odd'])).toEqual({ PATH: '/bin' })
})

test.each([
  ['unix:///var/run/docker.sock', { socketPath: '/var/run/docker.sock' }],
  ['tcp://spark.local:2375', { protocol: 'http', host: 'spark.local', port: 2375 }],
  ['tcp://10.0.0.2', { protocol: 'http', host: '10.0.0.2', port: 2375 }],
  ['ssh://me@spark.local', { protocol: 'ssh', host: 'spark.local', port: 22, username: 'me' }],
])('the endpoint %s is one that dockerode reaches', (host, options) => {
  expect(computeDockerOptions(host)).toEqual(options)
})

test.each(['npipe:////./pipe/docker', 'nonsense', ''])('the endpoint %j is refused in a sentence', (host) => {
  expect(() => computeDockerOptions(host)).toThrow(
    `the guard's image cannot be built on the Docker daemon at "${host}"`,
  )
})

test("Podman's last global --runtime is found", () => {
  expect(findGlobalRuntime(['--runtime', 'crun', '--log-level', 'debug', '--runtime=runc'])).toBe('runc')
  expect(findGlobalRuntime(['--runtime', 'crun'])).toBe('crun')
  expect(findGlobalRuntime(['--root', '/x'])).toBeUndefined()
})

test('a quoted command is read back by a shell as it was', async () => {
  const { execFileSync } = await import('node:child_process')
  const args = ['', 'a b', "it's", '"', '$HOME', '`id`', 'a\nb', '\\', '*', 'ä€', '--x=y', '~']
  const script = quoteCommand(['printf', '%s\\0', ...args])
  expect(execFileSync('sh', ['-c', script], { encoding: 'utf8' }).split('\0').slice(0, -1)).toEqual(args)
})
