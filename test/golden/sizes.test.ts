import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { ExpectedError } from '../../src/errors.js'
import { formatBytes, parseSize } from '../../src/plan/size.js'

interface SizeCase {
  text: string
  unitBytes?: number
  ofBytes?: number
  bytes?: number
  error?: true
}

const read = <T>(name: string): T[] => JSON.parse(readFileSync(new URL(`cases/${name}`, import.meta.url), 'utf8'))

describe('the size corpus shared with the C parser', () => {
  for (const { text, unitBytes, ofBytes, bytes, error } of read<SizeCase>('sizes.json')) {
    const options = {
      ...(unitBytes === undefined ? {} : { unitBytes }),
      ...(ofBytes === undefined ? {} : { percentOfBytes: ofBytes }),
    }
    const shown = `${JSON.stringify(text)} with ${JSON.stringify(options)}`
    if (error) {
      test(`${shown} is refused with one sentence`, () => {
        expect(() => parseSize(text, options)).toThrow(ExpectedError)
        expect(() => parseSize(text, options)).toThrow(/^[^\n]+ is (not a|too|a percentage)[^\n]+$/)
      })
    } else {
      test(`${shown} is ${bytes} bytes`, () => expect(parseSize(text, options)).toBe(bytes))
    }
  }
})

describe('sizes printed for people', () => {
  for (const { bytes, text } of read<{ bytes: number; text: string }>('sizes-printed.json')) {
    test(`${bytes} bytes are printed as ${text}`, () => expect(formatBytes(bytes)).toBe(text))
  }
})
