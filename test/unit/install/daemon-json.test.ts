import { describe, expect, it, test } from 'vitest'
import {
  addRuntime,
  computeForgettingText,
  parseDaemonJson,
  refuseComments,
  removeRuntime,
} from '../../../src/engines/docker/daemon-json.js'
import { thrown } from '../../support/thrown.js'

const file = '/etc/docker/daemon.json'
const entry = { path: '/usr/lib/spark-run/spark-runtime', runtimeArgs: [] }

describe('a broken file is refused with its place', () => {
  const cases: [string, string, RegExp][] = [
    ['a missing brace', '{\n  "debug": true\n', /line 3, column 1/],
    [
      'a trailing comma',
      '{\n  "debug": true,\n}\n',
      /line 3, column 1: a name in double quotes was expected here; there may be a comma/,
    ],
    ['a word without quotes', '{\n  debug: true\n}', /line 2, column 3: .*double quotes/],
    ['a list', '[1]', /it should hold one JSON object/],
    ['two objects', '{}\n{}', /line 2, column 1/],
    ['"runtimes" as a list', '{ "runtimes": [] }', /"runtimes" should be an object/],
    [
      'the same key twice',
      '{\n  "runtimes": {},\n  "runtimes": {}\n}',
      /line 3, column 3: the key "runtimes" stands there twice/,
    ],
  ]
  for (const [name, text, message] of cases) {
    it(name, () => {
      const error = thrown(() => addRuntime(text, file, entry))
      expect(error.code).toBe('DAEMON_JSON_BROKEN')
      expect(error.message).toMatch(message)
      expect(error.message).toContain(file)
    })
  }
})

test.each([
  ['a line', '{\n  // old\n  "debug": true }', 'line 2, column 3'],
  ['a block', '{ "😀": /* old */ true }', 'line 1, column 9'],
])('%s of comment is what dockerd does not take', (_, text, place) => {
  const error = thrown(() => refuseComments(text, file))
  expect(error.code).toBe('DAEMON_JSON_BROKEN')
  expect(error.message).toContain(`${place}: dockerd takes no comments`)
  expect(() => refuseComments('{ "registry-mirrors": ["https://a//b"] }', file)).not.toThrow()
})

describe('a runtime named spark that is not ours', () => {
  it('is refused, with what it is', () => {
    const error = thrown(() => addRuntime('{"runtimes":{"spark":{"path":"/opt/apache/spark"}}}', file, entry))
    expect(error.code).toBe('RUNTIME_NAME_TAKEN')
    expect(error.message).toContain('/opt/apache/spark and not /usr/lib/spark-run/spark-runtime')
  })

  it('is refused also where it is a containerd shim', () => {
    const text = '{"runtimes":{"spark":{"runtimeType":"io.containerd.spark.v1"}}}'
    expect(thrown(() => addRuntime(text, file, entry)).message).toContain('a containerd shim')
  })

  it('stays when we are taken out', () => {
    const text = '{"runtimes":{"spark":{"path":"/opt/apache/spark"}}}'
    expect(removeRuntime(text, file, { path: entry.path, insertedKeys: [['runtimes']] })).toBe(text)
  })
})

describe('taking our keys out of a file that was edited after us', () => {
  const ours = addRuntime('{\n  "debug": true\n}\n', file, entry)
  const edited = ours.text.replace('"debug": true', '"debug": false,\n  "features": { "cdi": true }')

  it('leaves the edit', () => {
    const removed = removeRuntime(edited, file, { path: entry.path, insertedKeys: ours.insertedKeys })
    expect(removed).toBe('{\n  "debug": false,\n  "features": { "cdi": true }\n}\n')
  })

  it('leaves "runtimes" where somebody else has put one in', () => {
    const shared = edited.replace('"spark": {', '"kata": { "path": "/usr/bin/kata" },\n    "spark": {')
    const removed = parseDaemonJson(
      removeRuntime(shared, file, { path: entry.path, insertedKeys: ours.insertedKeys }),
      file,
    )
    expect([...removed.runtimes.keys()]).toEqual(['kata'])
  })

  it('leaves an empty "runtimes" that was there before us', () => {
    const { text, insertedKeys } = addRuntime('{ "runtimes": {} }', file, entry)
    expect(removeRuntime(text, file, { path: entry.path, insertedKeys })).toBe('{ "runtimes": {} }')
  })
})

describe('the default runtime', () => {
  it('is only changed where asked', () => {
    expect(addRuntime('{}', file, entry).text).not.toContain('default-runtime')
    expect(parseDaemonJson(addRuntime('{}', file, entry, { asDefault: true }).text, file).defaultRuntime).toBe('spark')
  })

  it('becomes again what it was', () => {
    const text = '{\n  "default-runtime": "nvidia"\n}\n'
    const { text: after, insertedKeys } = addRuntime(text, file, entry, { asDefault: true })
    expect(removeRuntime(after, file, { path: entry.path, insertedKeys, restoreDefault: 'nvidia' })).toBe(text)
  })
})

it('new arguments replace the old ones of our own entry', () => {
  const { text } = addRuntime('{}', file, entry)
  const renewed = addRuntime(text, file, { ...entry, runtimeArgs: ['--spark-plan=/x'] })
  expect(parseDaemonJson(renewed.text, file).runtimes.get('spark')?.runtimeArgs).toEqual(['--spark-plan=/x'])
  expect(renewed.insertedKeys).toEqual([])
})

it('what makes a daemon forget us names an empty list and a default, and keeps large numbers', () => {
  const text = '{\n  "soft": 18446744073709551615\n}\n'
  expect(computeForgettingText(text, file, { forgetDefault: true })).toBe(
    '{\n  "soft": 18446744073709551615,\n  "runtimes": {},\n  "default-runtime": "runc"\n}\n',
  )
  const present = '{ "runtimes": { "x": { "path": "/x" } } }'
  expect(computeForgettingText(present, file, { forgetDefault: false })).toBe(present)
})
