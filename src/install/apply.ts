import { ExpectedError } from '../errors.js'
import { applyChange, backupPath, type EditedUndo, type FileChange, isApplied, revertChange } from './file-change.js'
import { makeDirectories, removeFile, removeIfEmpty, sha256, writeFileAtomically } from './file-state.js'
import type { RecordedChange, RecordedPart } from './record.js'

/**
 * What the record shall say of these changes. An installation that is repeated keeps what was there before the first one;
 * a file that somebody changed in between counts as theirs from then on.
 */
export function computePart(changes: readonly FileChange[], previous: RecordedPart | undefined): RecordedPart {
  const fresh = changes.map((change) => {
    const prior = previous?.changes.find(({ path }) => path === change.path)
    return recordChange(change, prior)
  })
  const untouched = (previous?.changes ?? []).filter(({ path }) => !fresh.some((change) => change.path === path))
  return { complete: false, changes: [...untouched, ...fresh], directories: previous?.directories ?? [] }
}

function recordChange(change: FileChange, prior: RecordedChange | undefined): RecordedChange {
  const { what, path, before, after } = change
  const seen = before === undefined ? null : sha256(before.content)
  const afterSha256 = sha256(after.content)
  if (prior !== undefined && prior.afterSha256 === seen) {
    return { ...prior, afterSha256, ifEdited: mergeUndo(prior.ifEdited, change.ifEdited) }
  }
  const isOurs = change.ifEdited.kind === 'remove'
  return {
    what,
    path,
    beforeSha256: isOurs ? null : seen,
    afterSha256,
    backup: isOurs || before === undefined || isApplied(change) ? null : backupPath(path),
    ifEdited: copyUndo(change.ifEdited),
  }
}

function mergeUndo(first: RecordedChange['ifEdited'], later: EditedUndo): RecordedChange['ifEdited'] {
  if (first.kind !== 'daemon-json' || later.kind !== 'daemon-json') return copyUndo(later)
  const copy = copyUndo(later)
  if (copy.kind !== 'daemon-json') return copy
  return {
    ...copy,
    ...first,
    insertedKeys: [...first.insertedKeys, ...copy.insertedKeys],
    runtimePath: later.runtimePath,
  }
}

function copyUndo(undo: EditedUndo): RecordedChange['ifEdited'] {
  if (undo.kind !== 'daemon-json') return { kind: undo.kind }
  const { kind, runtimePath, insertedKeys, replacedDefault } = undo
  const keys = insertedKeys.map((key) => [...key])
  return { kind, runtimePath, insertedKeys: keys, ...(replacedDefault === undefined ? {} : { replacedDefault }) }
}

/** Changes made so far, and how to take them back. */
export interface Transaction {
  /** Makes the changes of one part, backups first. @returns the directories that had to be made. */
  apply(changes: readonly FileChange[], part: RecordedPart): string[]
  /** Makes directories that shall be there, empty. @returns the ones that were not. */
  makeDirectories(directories: readonly string[]): string[]
  /** Registers what is no file. */
  onRollback(undo: () => Promise<void>): void
  /** Takes everything back, last first. @returns what could not be. */
  rollback(): Promise<string[]>
}

/** Everything through here is taken back when the installation fails half-way. */
export function beginTransaction(): Transaction {
  const undos: (() => void | Promise<void>)[] = []
  const make = (directories: readonly string[]) =>
    directories.flatMap((directory) => {
      const made = asExpected(directory, () => makeDirectories(directory))
      undos.push(() => {
        for (const each of made.toReversed()) removeIfEmpty(each)
      })
      return made
    })
  return {
    makeDirectories: make,
    apply: (changes, part) =>
      changes
        .filter((change) => !isApplied(change))
        .flatMap((change) => {
          const made = make([change.path.slice(0, change.path.lastIndexOf('/'))])
          const { before } = change
          const recorded = part.changes.find(({ path }) => path === change.path)
          // An installation that is repeated must not back up its own work.
          if (recorded?.backup && before !== undefined && sha256(before.content) === recorded.beforeSha256) {
            const { backup } = recorded
            asExpected(backup, () => writeFileAtomically(backup, before))
            undos.push(() => removeFile(backup))
          }
          undos.push(() => revertChange(change))
          asExpected(change.path, () => applyChange(change))
          return made
        }),
    onRollback: (undo) => {
      undos.push(undo)
    },
    rollback: async () => {
      const failures: string[] = []
      for (const undo of undos.toReversed()) {
        try {
          await undo()
        } catch (error) {
          failures.push((error as Error).message)
        }
      }
      return failures
    },
  }
}

/** A place that cannot be written is for the person to mend; anything else is a bug and stays what it is. */
function asExpected<T>(file: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === undefined || !(code in REASONS)) throw error
    throw new ExpectedError('NOT_WRITABLE', `cannot write ${file}: ${REASONS[code]}`, { cause: error })
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'not permitted (is the file immutable?)',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'the disk quota is used up',
  ENOTDIR: 'a part of its path is a file, not a directory',
  EISDIR: 'there is a directory of that name',
  EBUSY: 'it is a mount point or in use',
  ETXTBSY: 'it is a program that runs right now',
}
