import { expect, test } from 'vitest'
import { findEngineVerb } from '../../../src/launch/engine-verb.js'

test.each([
  [['run', 'image'], 'run', 1],
  [['create', 'image'], 'create', 1],
  [['container', 'run', '--rm', 'image'], 'container run', 2],
  [['-H', 'unix:///x', 'run', 'image'], 'run', 3],
  [['-Hunix:///x', '--tls', 'run', 'image'], 'run', 3],
  [['-H=unix:///x', 'run', 'image'], 'run', 2],
  [['-Dc', 'remote', 'run', 'image'], 'run', 3],
  [['--context=run', '--log-level', 'create', 'container', 'create', 'image'], 'container create', 5],
  [['--config', 'run', 'run', 'run'], 'run', 3],
])('docker %j makes a container by %s', (args, verb, afterVerb) => {
  expect(findEngineVerb('docker', args)).toEqual({
    verb,
    makesContainer: true,
    globalArgs: args.slice(0, afterVerb - verb.split(' ').length),
    afterVerb,
  })
})

test.each([
  [['--runtime', 'crun', 'run', 'image'], 'run', 3],
  [['--log-level=debug', '--hooks-dir', '/x', '--storage-opt', 'a=b', 'create', 'image'], 'create', 6],
  [['-r', 'container', 'run', 'image'], 'container run', 3],
])('podman %j makes a container by %s', (args, verb, afterVerb) => {
  expect(findEngineVerb('podman', args)).toMatchObject({ verb, makesContainer: true, afterVerb })
})

test.each([
  [['ps', '-a'], 'ps'],
  [['exec', 'c', 'docker', 'run'], 'exec'],
  [['container', 'ls'], 'container'],
  [['container'], 'container'],
  [['container', '--help', 'run'], 'container'],
  [['compose', 'run', 'web'], 'compose'],
  [['-H', 'run'], undefined],
  [['--new-global-flag', 'run', 'image'], undefined],
  [['--help'], undefined],
  [['-'], undefined],
  [['--', 'run', 'image'], undefined],
  [['', 'run', 'image'], ''],
  [[], undefined],
])('docker %j makes none', (args, verb) => {
  expect(findEngineVerb('docker', args)).toMatchObject({ verb, makesContainer: false })
})
