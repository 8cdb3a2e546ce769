import { createInterface } from 'node:readline/promises'
import { EXIT_USAGE, ExpectedError } from '../errors.js'

export interface Terminal {
  readonly input: NodeJS.ReadStream
  readonly output: NodeJS.WriteStream
}

/**
 * Asks a person to agree. Without a terminal nobody can answer, so nothing is asked and nothing is done.
 *
 * @throws ExpectedError `NOBODY_TO_ASK` where there is no terminal.
 */
export async function askYes(
  question: string,
  terminal: Terminal = { input: process.stdin, output: process.stderr },
): Promise<boolean> {
  const { input, output } = terminal
  if (input.isTTY !== true || output.isTTY !== true) {
    throw new ExpectedError('NOBODY_TO_ASK', 'this changes files of the system, and there is no terminal to ask on', {
      hint: 'Add --yes to go on without being asked, or --dry-run to see what would change.',
      exitCode: EXIT_USAGE,
    })
  }
  const lines = createInterface({ input, output })
  try {
    return /^y(es)?$/i.test((await lines.question(`${question} [y/N] `)).trim())
  } finally {
    lines.close()
  }
}
