import { editDistance } from '../edit-distance.js'
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
