import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { addRuntime, removeRuntime } from '../../src/engines/docker/daemon-json.js'

// Accept a wanted change with: npx vitest run --project unit test/golden --update

const directory = new URL('cases/daemon-json/', import.meta.url)
const entry = { path: '/usr/lib/spark-run/spark-runtime', runtimeArgs: [] }

describe("our runtime goes into Docker's configuration file", () => {
  for (const name of readdirSync(directory).filter((file) => file.endsWith('.in'))) {
    const text = readFileSync(new URL(name, directory), 'utf8')

    test(name.replace('.in', '').replaceAll('-', ' '), async () => {
      const added = addRuntime(text, 'daemon.json', entry)
      expect(keepsEveryByte(text, added.text)).toBe(true)
      await expect(added.text).toMatchFileSnapshot(new URL(name.replace(/in$/, 'out'), directory).pathname)
    })

    test(`${name.replace('.in', '').replaceAll('-', ' ')}: a second time changes nothing, and out of it again`, () => {
      const added = addRuntime(text, 'daemon.json', entry)
      expect(addRuntime(added.text, 'daemon.json', entry)).toEqual({ text: added.text, insertedKeys: [] })
      const removed = removeRuntime(added.text, 'daemon.json', { path: entry.path, insertedKeys: added.insertedKeys })
      expect(removed.replaceAll(/\s/g, '').replace(/^$/, '{}')).toBe(text.replaceAll(/\s/g, '').replace(/^$/, '{}'))
    })
  }
})

test('windows line ends are kept in what is added', () => {
  const { text } = addRuntime('{\r\n  "debug": true\r\n}\r\n', 'daemon.json', entry)
  expect(text.replaceAll('\r\n', '')).not.toContain('\n')
})

/** True when `after` is `before` with one piece put in: nothing moved, nothing re-indented. */
function keepsEveryByte(before: string, after: string): boolean {
  let head = 0
  while (head < before.length && before[head] === after[head]) head += 1
  const tail = before.slice(head)
  return after.length >= before.length && after.endsWith(tail)
}
