/** How an engine ended, as it was observed. */
export interface Ending {
  /** Null for one that had to be ended. */
  readonly exitCode: number | null
  /** The guard's words, where it has a record of a kill. */
  readonly killed: string | undefined
}

/** How an engine ended, in a sentence that says no more than what is known. */
export function tellEnd(who: string, { exitCode, killed }: Ending): string {
  if (killed !== undefined) return `${who} was killed by the guard: ${killed}`
  if (exitCode === null) return `${who} did not end in time and was ended.`
  if (exitCode === 0) return `${who} went on with what it had and ended by itself.`
  return `${who} ended with exit code ${exitCode}.`
}
