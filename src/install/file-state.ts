import { createHash, randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'

/** A regular file as it is, or as it shall be. */
export interface FileState {
  readonly content: Buffer
  /** Permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/** The file at `file`, links followed, or undefined where there is none. */
export function readFileState(file: string): FileState | undefined {
  try {
    const { mode, uid, gid } = statSync(file)
    return { content: readFileSync(file), mode: mode & 0o7777, uid, gid }
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/**
 * Writes a file so that a reader finds the old one or the new one, never a part, also after a power cut; whoever has the
 * old one open or mapped keeps it. A symbolic link stays and its target is written.
 */
export function writeFileAtomically(file: string, state: FileState): void {
  const target = resolveLink(file)
  const temporary = path.join(path.dirname(target), `.${path.basename(target)}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    const fd = openSync(temporary, 'wx', 0o600)
    try {
      writeFileSync(fd, state.content)
      chownSync(temporary, state.uid, state.gid)
      chmodSync(temporary, state.mode)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, target)
  } catch (error) {
    removeFile(temporary)
    throw error
  }
  syncDirectory(path.dirname(target))
}

/** Removes a file; one that is gone already is fine. */
export function removeFile(file: string): void {
  try {
    unlinkSync(file)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}

/** Makes a directory and those above it, 0755 whatever the umask. @returns the ones that were not there, outermost first. */
export function makeDirectories(directory: string): string[] {
  const missing: string[] = []
  for (let at = directory; !exists(at); at = path.dirname(at)) missing.unshift(at)
  for (const made of missing) {
    mkdirSync(made)
    chmodSync(made, 0o755)
  }
  return missing
}

/** Removes the directory if it is empty. @returns true when it is gone. */
export function removeIfEmpty(directory: string): boolean {
  try {
    rmdirSync(directory)
    return true
  } catch (error) {
    if (isMissing(error)) return true
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'EBUSY') return false
    throw error
  }
}

/** SHA-256 in hexadecimal. */
export function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}

function resolveLink(file: string): string {
  try {
    return lstatSync(file).isSymbolicLink() ? realpathSync(file) : file
  } catch (error) {
    if (isMissing(error)) return file
    throw error
  }
}

function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function exists(file: string): boolean {
  try {
    lstatSync(file)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'ENOENT' || code === 'ENOTDIR'
}
