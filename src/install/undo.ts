import { removeRuntime } from '../engines/docker/daemon-json.js'
import { type FileState, readFileState, removeFile, removeIfEmpty, sha256, writeFileAtomically } from './file-state.js'
import type { RecordedChange, RecordedPart } from './record.js'

/** What undoing one recorded change comes to, given the file as it is now. */
export interface UndoStep {
  readonly path: string
  readonly what: string
  /** The file afterwards; undefined = none. Equal to `before` where there is nothing to do. */
  readonly before: FileState | undefined
  readonly after: FileState | undefined
  /** Backup that is not needed any more. */
  readonly spentBackup: string | null
  /** Why the result is not byte for byte what was there before the installation. */
  readonly warning?: string
}

/** Steps that undo a part, in the order in which to take them: last written, first undone. */
export function computeUndo(part: RecordedPart): UndoStep[] {
  return part.changes.toReversed().map(undoOne)
}

function undoOne(change: RecordedChange): UndoStep {
  const { path, what, backup } = change
  const now = readFileState(path)
  const base = { path, what, before: now, spentBackup: backup }
  if (now === undefined) return { ...base, after: undefined }
  const hash = sha256(now.content)
  if (hash === change.beforeSha256) return { ...base, after: now }
  if (hash === change.afterSha256) {
    if (change.beforeSha256 === null) return { ...base, after: undefined }
    const original = backup === null ? undefined : readFileState(backup)
    if (original !== undefined && sha256(original.content) === change.beforeSha256) return { ...base, after: original }
  }
  return undoEdited(change, now)
}

/** The file is not what we left: take out what is ours, and leave the rest to the person who edited it. */
function undoEdited(change: RecordedChange, now: FileState): UndoStep {
  const { path, what, ifEdited, backup } = change
  const base = { path, what, before: now, spentBackup: null }
  const kept = backup === null ? '' : `; how it was before the installation is in ${backup}`
  switch (ifEdited.kind) {
    case 'remove':
      return { ...base, after: undefined, spentBackup: backup }
    case 'keep':
      return { ...base, after: now, warning: `${path} was edited, so it stays` }
    case 'daemon-json': {
      const text = removeRuntime(now.content.toString('utf8'), path, {
        path: ifEdited.runtimePath,
        insertedKeys: ifEdited.insertedKeys.map((key) => [...key]),
        restoreDefault: ifEdited.replacedDefault,
      })
      const warning = `${path} was edited since the installation, so only the entries of spark-run were taken out${kept}`
      return { ...base, after: { ...now, content: Buffer.from(text) }, warning }
    }
  }
}

/** Takes the steps, then removes the directories that the part had made and that are empty now. */
export function applyUndo(steps: readonly UndoStep[], part: RecordedPart): void {
  for (const step of steps) {
    if (step.after === undefined) removeFile(step.path)
    else if (step.after !== step.before) writeFileAtomically(step.path, step.after)
    if (step.spentBackup !== null) removeFile(step.spentBackup)
  }
  for (const directory of part.directories.toReversed()) removeIfEmpty(directory)
}
