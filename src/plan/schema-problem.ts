import type * as v from 'valibot'

/** Where in the checked value an issue lies: `budget.max`, `containerEdits.env[0].env`; empty for the value itself. */
export function pathOf(issue: v.BaseIssue<unknown>): string {
  let where = ''
  for (const { key } of issue.path ?? []) {
    if (typeof key === 'number') where += `[${key}]`
    else where += where === '' ? String(key) : `.${String(key)}`
  }
  return where
}

/** The value an issue complains about, as a person wrote it, cut to a length that fits a sentence. */
export function shownValue(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 57)}…` : text
}
