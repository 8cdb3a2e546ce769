import { describe, expect, test } from 'vitest'
import { formatFields, formatTable } from '../../../src/views/table.js'

describe('tables as docker prints them', () => {
  test('headings in capitals, three spaces between, numbers at the right, nothing at the end of a line', () => {
    const lines = formatTable(
      [{ heading: 'name' }, { heading: 'budget', align: 'right' }, { heading: 'note' }],
      [
        ['web', '40.0 GiB', 'x'],
        ['a-longer-name', '512.0 MiB'],
      ],
    )
    expect(lines).toEqual([
      'NAME               BUDGET   NOTE',
      'web              40.0 GiB   x',
      'a-longer-name   512.0 MiB',
    ])
  })
  test('no rows leave the headings', () => expect(formatTable([{ heading: 'name' }], [])).toEqual(['NAME']))
  test('a name cannot move the cursor or break the line', () => {
    expect(formatTable([{ heading: 'name' }], [['a\u001b[31m\nb']])[1]).toBe('a?[31m?b')
  })
  test('fields stand under one margin', () => {
    expect(
      formatFields(
        [
          ['memory', '1 GiB'],
          ['left', '-'],
        ],
        '  ',
      ),
    ).toEqual(['  memory   1 GiB', '  left     -'])
  })
})
