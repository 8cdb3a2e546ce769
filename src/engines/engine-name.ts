import { EXIT_USAGE, ExpectedError } from '../errors.js'
import { ENGINE_NAMES, type EngineName } from './engine.js'

/**
 * Reads the name of an engine.
 *
 * @throws ExpectedError `ENGINE_UNKNOWN` with the names there are, and the one that was probably meant.
 */
export function parseEngineName(text: string): EngineName {
  const known = ENGINE_NAMES.find((name) => name === text)
  if (known !== undefined) return known
  const meant = ENGINE_NAMES.find((name) => editDistance(text.toLowerCase(), name) <= 2)
  throw new ExpectedError(
    'ENGINE_UNKNOWN',
    `${JSON.stringify(text)} is not an engine that spark-run knows: ${ENGINE_NAMES.join(', ')}`,
    {
      exitCode: EXIT_USAGE,
      ...(meant === undefined ? {} : { hint: `Did you mean ${meant}?` }),
    },
  )
}

/** Levenshtein's distance: how many letters to change, add or drop. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const changed = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(changed, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
