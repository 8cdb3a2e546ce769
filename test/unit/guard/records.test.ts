import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { eventsAbout, parseEvent, readEvents } from '../../../src/guard/events.js'
import { findTombstone, parseTombstone, readTombstones, type Tombstone } from '../../../src/guard/tombstones.js'

const STONE = {
  schemaVersion: 1,
  id: 'abcdef123456',
  name: 'llm',
  request: '3f0c',
  engine: 'docker',
  killedAt: '2026-11-23T10:00:00.000Z',
  reason: 'under-reserve',
  rule: 'growth',
  kills: 1,
  psiFullAvg10Permille: null,
  sentence: 'killed llm: …',
  reserveBytes: 1073741824,
  memAvailableBytes: 900000000,
  slopeBytesPerSecond: -2147483648,
  budgetBytes: 42949672960,
  priority: 0,
  use: { driverBytes: 1, cgroupBytes: 2 },
  killToEmptyMs: 12,
  samples: [{ ms: -100, availableBytes: 5 }],
}

let dir: string
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'spark-records-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

test('a tombstone is read whole; an empty name counts as none', () => {
  expect(parseTombstone(JSON.stringify(STONE))).toEqual(STONE)
  expect(parseTombstone(JSON.stringify({ ...STONE, name: '', request: undefined }))).toMatchObject({
    name: null,
    request: null,
  })
})

test.each([
  ['is torn', JSON.stringify(STONE).slice(0, 50)],
  ['is of another version', JSON.stringify({ ...STONE, schemaVersion: 2 })],
  ['lacks its use', JSON.stringify({ ...STONE, use: undefined })],
  ['is not an object', '[]'],
])('a tombstone that %s is ignored', (_, text) => {
  expect(parseTombstone(text)).toBeUndefined()
})

test('tombstones come newest first and are found by id, prefix, name and request', async () => {
  const write = (file: string, stone: object) => writeFileSync(path.join(dir, file), JSON.stringify(stone))
  write('old.json', STONE)
  write('new.json', { ...STONE, id: 'fedcba654321', request: 'beef', killedAt: '2026-11-24T10:00:00.000Z' })
  write('.half.json', STONE)
  writeFileSync(path.join(dir, 'note.txt'), 'hello')
  const stones = await readTombstones(dir)
  expect(stones.map((stone) => stone.id)).toEqual(['fedcba654321', 'abcdef123456'])
  const found = (who: string): Tombstone['id'] | undefined => findTombstone(stones, who)?.id
  expect(found('llm')).toBe('fedcba654321')
  expect(found('3f0c')).toBe('abcdef123456')
  expect(found('abcdef')).toBe('abcdef123456')
  expect(found('abcde')).toBeUndefined()
  expect(await readTombstones(path.join(dir, 'absent'))).toEqual([])
})

test('events are read oldest first, torn and foreign lines skipped, what is not common kept', async () => {
  const file = path.join(dir, 'events.jsonl')
  const line = (event: object) => `${JSON.stringify({ schemaVersion: 1, time: '2026-11-23T10:00:00Z', ...event })}\n`
  writeFileSync(
    file,
    `${line({ type: 'start', pid: 9 })}not json\n${line({ type: 'refused', id: 'abcdef', name: 'llm' })}{"type":`,
  )
  const events = await readEvents(file)
  expect(events.map((event) => event.type)).toEqual(['start', 'refused'])
  expect(events[0]).toMatchObject({ pid: 9 })
  expect(eventsAbout(events, 'llm')).toHaveLength(1)
  expect(eventsAbout(events, 'other')).toHaveLength(0)
  expect(await readEvents(path.join(dir, 'absent'))).toEqual([])
})

test('only the end of a long log is read, from the first whole line on', async () => {
  const file = path.join(dir, 'events.jsonl')
  const lines = Array.from({ length: 100 }, (_, n) =>
    JSON.stringify({ schemaVersion: 1, time: `t${n}`, type: 'warning' }),
  )
  writeFileSync(file, `${lines.join('\n')}\n`)
  const events = await readEvents(file, 200)
  expect(events.length).toBeGreaterThan(1)
  expect(events.length).toBeLessThan(5)
  expect(events.at(-1)?.time).toBe('t99')
})

test('an event of another version or without a type is none', () => {
  expect(parseEvent('{"schemaVersion":2,"time":"t","type":"kill"}')).toBeUndefined()
  expect(parseEvent('{"schemaVersion":1,"time":"t"}')).toBeUndefined()
})
