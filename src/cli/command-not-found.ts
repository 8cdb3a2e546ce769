import type { Hook } from '@oclif/core'
import { EXIT_USAGE } from '../errors.js'

/** Answers a command that does not exist with the ones that do; oclif would show its internal `status:x`. */
const commandNotFound: Hook.CommandNotFound = async ({ id, config }) => {
  const commands = ['docker', 'podman', ...config.commandIDs]
  const known = [...new Set(commands)].map((command) => command.replaceAll(':', ' ')).sort()
  process.stderr.write(
    `spark-run: there is no command "${id.replaceAll(':', ' ')}", allowed: ${known.join(', ')}\nSee: spark-run --help\n`,
  )
  process.exitCode = EXIT_USAGE
}

export default commandNotFound
