/** Writes sentences for the person at the terminal: always to stderr, never to stdout, which belongs to the container. */
export type Say = (sentence: string) => void

/** A voice that can be told to be quiet. Refusals do not go through it: an exit code without a reason helps nobody. */
export function createSay(quiet: boolean): Say {
  return quiet ? () => {} : complain
}

/** Says why something was not done; quiet or not. */
export function complain(sentence: string): void {
  process.stderr.write(`spark-run: ${sentence}\n`)
}
