import { ExpectedError } from '../../src/errors.js'

/** The ExpectedError that `act` throws; fails the test when it throws nothing or something else. */
export function thrown(act: () => unknown): ExpectedError {
  try {
    act()
  } catch (error) {
    if (error instanceof ExpectedError) return error
    throw error
  }
  throw new Error('expected an ExpectedError, nothing was thrown')
}
