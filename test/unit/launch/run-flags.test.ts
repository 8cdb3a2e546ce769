import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseRunHelp, type RunFlagTable, scanRunArgs } from '../../../src/launch/run-flags.js'

function tableOf(engine: string): RunFlagTable {
  const table = parseRunHelp(readFileSync(new URL(`fixtures/${engine}-run-help.txt`, import.meta.url), 'utf8'))
  if (table === undefined) throw new Error(`the help of ${engine} was not understood`)
  return table
}

const docker = tableOf('docker-28.2')

// docker/cli cli/command/container/opts.go and run.go, 20.10.24 and 28.2.2.
const SWITCHES_20 =
  'detach disable-content-trust help init interactive no-healthcheck oom-kill-disable privileged publish-all read-only rm sig-proxy tty'
test.each([
  ['docker-20.10', SWITCHES_20.split(' ')],
  ['docker-28.2', [...SWITCHES_20.split(' '), 'quiet', 'use-api-socket']],
])('the help of %s tells switches from flags with a value', (engine, switches) => {
  const table = tableOf(engine)
  const found = [...table.long].filter(([, takesValue]) => !takesValue).map(([name]) => name)
  expect(found.sort()).toEqual(switches.sort())
  for (const name of ['runtime', 'env', 'gpus', 'mount', 'net', 'kernel-memory'])
    expect(table.long.get(name)).toBe(true)
  expect(table.short.get('v')).toBe('volume')
})

test('the help of Podman is understood, too', () => {
  const table = tableOf('podman-4.3')
  expect(table.long.get('env')).toBe(true)
  expect(table.long.get('detach')).toBe(false)
  expect(table.long.get('blkio-weight-device')).toBe(true)
  expect(table.long.get('detach-keys')).toBe(true)
  expect(table.short.get('c')).toBe('cpu-shares')
})

test('a text that is no help gives no table', () => {
  expect(parseRunHelp('')).toBeUndefined()
  expect(parseRunHelp('      --name string   A name')).toBeUndefined()
})

test('flags are read in every spelling up to the image', () => {
  const args = [
    '-itd',
    '--rm',
    '-v',
    '/a:/b',
    '-itv/c:/d:ro',
    '-p=80:80',
    '--runtime',
    'nvidia',
    '--runtime=runc',
    '--name=llm',
    '-m',
    '8g',
    '-e',
    'A=b c',
    '--env=B',
    '-eC=1',
    '--env-file',
    'x.env',
    '--mount',
    'type=bind,source=/s,target=/t',
    '--privileged=false',
    'image',
    '--name',
    'not-ours',
    '-e',
    'D=1',
  ]
  expect(scanRunArgs(args, docker)).toEqual({
    complete: true,
    help: false,
    image: 'image',
    runtime: 'runc',
    runtimeAt: [6, 7, 8],
    name: 'llm',
    memory: { memory: '8g', memorySwap: undefined },
    platform: undefined,
    env: ['A=b c', 'B', 'C=1'],
    envFiles: ['x.env'],
    mountTargets: ['/b', '/d', '/t'],
    privileged: false,
    detach: true,
    remove: true,
    interactive: true,
  })
})

test.each([
  [['--rm', '--', 'image', '--name', 'x'], 'image'],
  [['-', 'sh'], '-'],
  [['', 'sh'], ''],
  [['--name', '--', 'image'], 'image'],
  [['-e', '--runtime', 'image'], 'image'],
  [['--help', 'image'], 'image'],
])('%j names its image', (args, image) => {
  expect(scanRunArgs(args, docker)).toMatchObject({ complete: true, image })
})

test.each([[['--brand-new', 'x', 'image']], [['-Z', 'image']], [['-iZt', 'image']], [['--name']], [['-itv']]])(
  '%j is in doubt, and says so',
  (args) => {
    expect(scanRunArgs(args, docker)).toMatchObject({ complete: false, image: undefined })
  },
)

test('what was found before the doubt is kept', () => {
  expect(scanRunArgs(['--name', 'llm', '--brand-new', '--runtime', 'x', 'i'], docker)).toMatchObject({
    name: 'llm',
    runtime: undefined,
  })
})
