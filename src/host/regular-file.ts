import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { isSystemError } from '../errors.js'

/** What opening says about something that is absent, or there and no file: a link, a socket, a device without a driver. */
const NO_FILE = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO', 'ENODEV'])

const CHUNK_BYTES = 64 * 1024

/**
 * Opens a regular file for reading, and nothing else: a pipe would wait for a writer, a device could give bytes for ever.
 *
 * @returns undefined where the path is absent or leads to something else; the caller closes the handle.
 * @throws the system's own error where there may be a file that cannot be opened, such as EACCES.
 */
export async function openRegularFile(file: string): Promise<FileHandle | undefined> {
  let handle: FileHandle
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (isSystemError(error) && NO_FILE.has(error.code ?? '')) return undefined
    throw error
  }
  if ((await handle.stat()).isFile()) return handle
  await handle.close()
  return undefined
}

/**
 * The text of a small regular file; undefined for everything else: absent, not a file, not ours to read, gone while it was
 * read, or of more than `maxBytes` bytes. Files of /proc and of cgroups, whose size is 0 until they are read, are files.
 */
export async function readSmallFile(file: string, maxBytes: number): Promise<string | undefined> {
  let handle: FileHandle | undefined
  try {
    handle = await openRegularFile(file)
    return handle === undefined ? undefined : await readAtMost(handle, maxBytes)
  } catch (error) {
    if (isSystemError(error)) return undefined
    throw error
  } finally {
    await handle?.close()
  }
}

async function readAtMost(handle: FileHandle, maxBytes: number): Promise<string | undefined> {
  const chunks: Buffer[] = []
  for (let total = 0; total <= maxBytes; ) {
    const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, maxBytes + 1 - total))
    const { bytesRead } = await handle.read(chunk, 0, chunk.length)
    if (bytesRead === 0) return Buffer.concat(chunks).toString('utf8')
    chunks.push(chunk.subarray(0, bytesRead))
    total += bytesRead
  }
  return undefined
}
