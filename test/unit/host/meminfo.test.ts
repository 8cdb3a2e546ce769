import { describe, expect, test } from 'vitest'
import { hugePagesInUseBytes, parseMeminfo, readMeminfo } from '../../../src/host/meminfo.js'
import { thrown } from '../../support/thrown.js'

const SPARK = `MemTotal:       127600592 kB
MemFree:        118000000 kB
MemAvailable:   120000000 kB
Buffers:            3520 kB
HugePages_Total:      12
HugePages_Free:        5
HugePages_Rsvd:        0
HugePages_Surp:       12
Hugepagesize:       2048 kB
Hugetlb:           24576 kB
`
const GIB = 1024 ** 3

describe('the memory of the machine', () => {
  test('is read in bytes', () => {
    expect(parseMeminfo(SPARK, 'meminfo')).toEqual({
      totalBytes: 130_663_006_208,
      freeBytes: 118_000_000 * 1024,
      availableBytes: 120_000_000 * 1024,
      hugePages: { total: 12, free: 5, surplus: 12, pageBytes: 2 * 1024 * 1024 },
    })
  })
  test('withheld memory is missing from total, free and available alike', () => {
    const [all, less] = [parseMeminfo(SPARK, 'meminfo'), parseMeminfo(SPARK, 'meminfo', 100 * GIB)]
    for (const key of ['totalBytes', 'freeBytes', 'availableBytes'] as const) {
      expect(all[key] - less[key]).toBe(100 * GIB)
    }
  })
  test('nothing goes below zero', () => {
    expect(parseMeminfo(SPARK, 'meminfo', 1000 * GIB)).toMatchObject({ totalBytes: 0, freeBytes: 0, availableBytes: 0 })
  })
  test('huge pages in use are those that are not free', () => {
    expect(hugePagesInUseBytes(parseMeminfo(SPARK, 'meminfo').hugePages)).toBe(7 * 2 * 1024 * 1024)
  })
  test('a kernel without huge pages has none', () => {
    const text = SPARK.split('\n').slice(0, 3).join('\n')
    expect(parseMeminfo(text, 'meminfo').hugePages).toEqual({ total: 0, free: 0, surplus: 0, pageBytes: 0 })
  })
  test('a file without MemAvailable is refused by name', () => {
    expect(thrown(() => parseMeminfo('MemTotal: 1 kB\nMemFree: 1 kB\n', '/x/meminfo'))).toMatchObject({
      code: 'MEMINFO_UNREADABLE',
      message: '/x/meminfo has no line MemAvailable',
    })
  })
  test('a missing file is refused by name', () => {
    expect(thrown(() => readMeminfo('/nonexistent/meminfo')).message).toContain('/nonexistent/meminfo')
  })
  test('this machine can be read', () => {
    const memory = readMeminfo()
    expect(memory.totalBytes).toBeGreaterThan(memory.availableBytes)
    expect(memory.availableBytes).toBeGreaterThan(0)
  })
})
