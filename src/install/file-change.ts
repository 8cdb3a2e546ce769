import { isDeepStrictEqual } from 'node:util'
import {
  type FileState,
  makeDirectories,
  readFileState,
  removeFile,
  sha256,
  writeFileAtomically,
} from './file-state.js'

/** How `uninstall` undoes a file that was edited after us. */
export type EditedUndo =
  /** It is ours alone: remove it all the same. */
  | { readonly kind: 'remove' }
  /** It belongs to the person by now: leave it, and say so. */
  | { readonly kind: 'keep' }
  /** It is Docker's: take our keys out. */
  | {
      readonly kind: 'daemon-json'
      readonly runtimePath: string
      readonly insertedKeys: readonly (readonly (string | number)[])[]
      readonly replacedDefault?: string | undefined
    }

/** One file that an installation makes or edits: the whole of it, before and after. */
export interface FileChange {
  /** What the file is, for people: `Docker's configuration`. */
  readonly what: string
  readonly path: string
  readonly before: FileState | undefined
  readonly after: FileState
  readonly ifEdited: EditedUndo
}

export interface NewFile {
  readonly what: string
  readonly path: string
  readonly content: Buffer | string
  /** Mode of a file that is not there yet; an edited one keeps its own. */
  readonly mode: number
  readonly ifEdited: EditedUndo
}

/** A file that is ours alone: mode and owner as given, whatever is there now. */
export function computeOwnFile(file: NewFile): FileChange {
  return { ...describe(file), after: { content: Buffer.from(file.content), mode: file.mode, ...owner() } }
}

/** An edit of a file that may belong to somebody else: mode and owner stay. */
export function computeEdit(file: NewFile): FileChange {
  const change = describe(file)
  const { mode, uid, gid } = change.before ?? { mode: file.mode, ...owner() }
  return { ...change, after: { content: Buffer.from(file.content), mode, uid, gid } }
}

/** True when the file is already as it shall be. */
export function isApplied(change: FileChange): boolean {
  return isDeepStrictEqual(change.before, change.after)
}

/** Where the bytes of an edited file are kept until `uninstall`. */
export function backupPath(file: string): string {
  return `${file}.spark-run-backup`
}

/**
 * Brings the file about, its directory with it.
 *
 * @returns the directories that had to be made.
 */
export function applyChange(change: FileChange): string[] {
  const slash = change.path.lastIndexOf('/')
  const made = makeDirectories(change.path.slice(0, slash))
  writeFileAtomically(change.path, change.after)
  return made
}

/** Puts back what was there before {@link applyChange}. */
export function revertChange(change: FileChange): void {
  if (change.before === undefined) removeFile(change.path)
  else writeFileAtomically(change.path, change.before)
}

/** Hash of what is at `file` now, or undefined where nothing is. */
export function currentHash(file: string): string | undefined {
  const state = readFileState(file)
  return state === undefined ? undefined : sha256(state.content)
}

function describe({ what, path, ifEdited }: NewFile) {
  return { what, path, ifEdited, before: readFileState(path) }
}

function owner(): { uid: number; gid: number } {
  return { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
}
