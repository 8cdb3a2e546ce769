import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readEvents } from '../../../src/guard/events.js'
import { readRegistry } from '../../../src/guard/registry.js'
import { readTombstones } from '../../../src/guard/tombstones.js'
import { readSmallFile } from '../../../src/host/regular-file.js'

/** Things that are no small regular file: a reader would wait, fail, or never come to an end. */
const ODD: readonly [what: string, make: (place: string) => void][] = [
  ['a pipe', (place) => execFileSync('mkfifo', [place])],
  ['a directory', (place) => mkdirSync(place)],
  ['a link to a device', (place) => symlinkSync('/dev/zero', place)],
  ['a link to nowhere', (place) => symlinkSync('nowhere', place)],
  ['a huge file', (place) => execFileSync('truncate', ['-s', '1T', place])],
]

let dir: string
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'spark-file-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

test.each(ODD)('%s is passed over wherever the records of containers are read', async (_, make) => {
  for (const [directory, name] of [
    ['containers', 'odd'],
    ['tombstones', 'odd.json'],
  ] as const) {
    mkdirSync(path.join(dir, directory))
    make(path.join(dir, directory, name))
  }
  expect((await readRegistry(path.join(dir, 'containers'))).entries).toEqual([])
  expect(await readTombstones(path.join(dir, 'tombstones'))).toEqual([])
  make(path.join(dir, 'events.jsonl'))
  expect(await readEvents(path.join(dir, 'events.jsonl'))).toEqual([])
})

test('a file where a directory should be holds no records', async () => {
  writeFileSync(path.join(dir, 'file'), '')
  expect((await readRegistry(path.join(dir, 'file'))).entries).toEqual([])
  expect(await readTombstones(path.join(dir, 'file'))).toEqual([])
})

test('a small file is read whole up to its limit, and not at all beyond', async () => {
  const file = path.join(dir, 'file')
  writeFileSync(file, 'grüße')
  expect(await readSmallFile(file, 7)).toBe('grüße')
  expect(await readSmallFile(file, 6)).toBeUndefined()
  expect(await readSmallFile(path.join(dir, 'absent'), 7)).toBeUndefined()
})

test("the kernel's files, whose size is 0, are read too", async () => {
  expect(await readSmallFile('/proc/self/stat', 4096)).toContain(`${process.pid} (`)
})
