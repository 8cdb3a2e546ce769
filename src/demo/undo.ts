/** What has to be undone at the end, newest first, however the end comes. */
export interface UndoStack {
  /** Remembers how to undo `what`; once undoing has begun it is done at once. */
  add(what: string, undo: () => void | Promise<void>): Promise<void>
  /** Undoes everything and returns one sentence for each thing that would not go. Safe to call twice. */
  run(): Promise<string[]>
}

export function createUndoStack(): UndoStack {
  const steps: { what: string; undo: () => void | Promise<void> }[] = []
  const failures: string[] = []
  let running: Promise<string[]> | undefined

  async function runOne(step: { what: string; undo: () => void | Promise<void> }) {
    try {
      await step.undo()
    } catch (error) {
      failures.push(`${step.what}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  async function runAll() {
    for (let step = steps.pop(); step !== undefined; step = steps.pop()) await runOne(step)
    return failures
  }

  return {
    async add(what, undo) {
      if (running === undefined) steps.push({ what, undo })
      else await runOne({ what, undo })
    },
    run() {
      running ??= runAll()
      return running
    },
  }
}
