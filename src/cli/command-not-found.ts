import type { Hook } from '@oclif/core'
import { editDistance } from '../edit-distance.js'
import { EXIT_USAGE } from '../errors.js'

/** Answers a command that does not exist with the ones that do; oclif would show its internal `status:x`. */
const commandNotFound: Hook.CommandNotFound = async ({ id, config }) => {
  // oclif takes all words up to the first flag for the name of a command.
  const [typed = ''] = id.split(':')
  const known = [...new Set(['docker', 'podman', ...config.commandIDs.map((command) => command.split(':')[0] ?? '')])]
  const meant = known.find((command) => editDistance(typed.toLowerCase(), command) <= 2)
  process.stderr.write(
    [
      `spark-run: there is no command ${JSON.stringify(typed)}, allowed: ${known.sort().join(', ')}\n`,
      meant === undefined ? 'See: spark-run --help\n' : `Did you mean ${meant}? See: spark-run --help\n`,
    ].join(''),
  )
  process.exitCode = EXIT_USAGE
}

export default commandNotFound
