export interface Column {
  readonly heading: string
  /** Numbers read best at the right; default left. */
  readonly align?: 'left' | 'right'
}

/** Docker's: three spaces between columns. */
const GAP = '   '

/**
 * A table as `docker ps` prints one: headings in capitals, columns as wide as their widest cell, no lines, nothing at the
 * end of a line. Rows shorter than the headings are filled with empty cells.
 */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const cells = [columns.map((column) => column.heading.toUpperCase()), ...rows]
  const widths = columns.map((_, index) => Math.max(...cells.map((row) => textWidth(row[index] ?? ''))))
  return cells.map((row) =>
    columns
      .map(({ align }, index) => {
        const cell = oneLine(row[index] ?? '')
        const padding = ' '.repeat((widths[index] ?? 0) - textWidth(cell))
        return align === 'right' ? padding + cell : cell + padding
      })
      .join(GAP)
      .trimEnd(),
  )
}

/** `label   value` lines under a common margin. */
export function formatFields(fields: readonly (readonly [label: string, value: string])[], margin = ''): string[] {
  const width = Math.max(...fields.map(([label]) => label.length))
  return fields.map(([label, value]) => `${margin}${label.padEnd(width)}${GAP}${oneLine(value)}`.trimEnd())
}

/** Names come from people and containers: control characters would break the line or the terminal. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, '?')
}

function textWidth(text: string): number {
  return [...text].length
}
