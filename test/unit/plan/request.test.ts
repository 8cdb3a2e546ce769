import { describe, expect, test } from 'vitest'
import { encodeRequest, parseRequest } from '../../../src/plan/request.js'
import { thrown } from '../../support/thrown.js'

describe('what a launcher asks of the carrier', () => {
  test('a full request survives the way there and back', () => {
    const request = {
      id: '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
      budgetBytes: 42949672960,
      reserveBytes: 8589934592,
      priority: -5,
      name: 'web.1_a-b',
    }
    const text = encodeRequest(request)
    expect(text).toBe(
      'v1;id=6ba7b810-9dad-11d1-80b4-00c04fd430c8;budget=42949672960;reserve=8589934592;priority=-5;name=web.1_a-b',
    )
    expect(parseRequest(text)).toEqual(request)
  })
  test('every field is optional', () => {
    expect(encodeRequest({})).toBe('v1')
    expect(parseRequest('v1')).toEqual({})
  })
  test('fields come in any order', () =>
    expect(parseRequest('v1;priority=0;budget=1')).toEqual({ budgetBytes: 1, priority: 0 }))
})

describe('a broken request is refused with the part that is wrong', () => {
  const refused: [string, string][] = [
    ['', 'begins with "", allowed: v1'],
    ['v2;budget=1', 'begins with "v2", allowed: v1'],
    ['v1;', 'has the field "", allowed: id=, budget=, reserve=, priority= and name='],
    ['v1;budgt=1', 'has the field "budgt=1"'],
    ['v1;budget=', 'has the field "budget="'],
    ['v1;budget=40g', 'has budget=40g, allowed: a whole number'],
    ['v1;budget=0', 'has budget=0, allowed: whole bytes above 0'],
    ['v1;budget=9007199254740992', 'has budget=9007199254740992, allowed: whole bytes above 0'],
    ['v1;budget=1;budget=2', 'has budget twice'],
    ['v1;priority=1001', 'has priority=1001, allowed: a whole number from -1000 to 1000'],
    ['v1;name=a b', 'has name=a b, allowed: up to 128 letters, digits, _ . and -'],
    ['v1;id=a\nb', 'has the field'],
  ]
  for (const [text, sentence] of refused) {
    test(JSON.stringify(text), () => {
      const error = thrown(() => parseRequest(text))
      expect(error.code).toBe('REQUEST_INVALID')
      expect(error.message).toContain(`SPARK_RUN_REQUEST ${sentence}`)
    })
  }
  test('a name that would break the format is refused before it is sent', () => {
    expect(thrown(() => encodeRequest({ name: 'a;budget=1' })).code).toBe('REQUEST_INVALID')
  })
})
