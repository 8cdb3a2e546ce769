import { describe, expect, test } from 'vitest'
import { drawBar } from '../../../src/views/bar.js'
import { drawSparkline } from '../../../src/views/sparkline.js'

describe('bars', () => {
  const bars: [string, number, number | undefined, string][] = [
    ['empty', 0, undefined, '··········'],
    ['full', 1, undefined, '██████████'],
    ['to an eighth of a character', 0.3125, undefined, '███▏······'],
    ['more than all is all', 7, undefined, '██████████'],
    ['less than nothing is nothing', -1, undefined, '··········'],
    ['no number is nothing', Number.NaN, undefined, '··········'],
    ['a mark in the empty part', 0.2, 0.5, '██···┃····'],
    ['a mark at the end stays inside', 0, 1, '·········┃'],
  ]
  for (const [name, share, mark, bar] of bars) {
    test(name, () => expect(drawBar(share, 10, mark)).toBe(bar))
  }
})

describe('sparklines', () => {
  test('one block for each value, from nothing to all', () => {
    expect(drawSparkline([0, 1, 2, 3, 4, 5, 6, 7, 8], 20, 8)).toBe('▁▂▃▄▅▆▇██')
  })
  test('a long series shows the lowest of each stretch', () => {
    expect(drawSparkline([8, 8, 8, 0, 8, 8], 3, 8)).toBe('█▁█')
  })
  test('no series is no line', () => expect(drawSparkline([], 10, 8)).toBe(''))
  test('values beyond the scale stay inside', () => expect(drawSparkline([-1, 99], 2, 8)).toBe('▁█'))
  test('a scale of nothing is drawn as nothing', () => expect(drawSparkline([1], 2, 0)).toBe('▁'))
})
