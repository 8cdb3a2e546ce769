import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import type { Headers, Pack } from 'tar-fs'
import { CONTENT_LABEL, type ImageContent, type ImageSource } from './image.js'

/** Hash of everything in an image and of how it starts; times and owners do not count. */
export async function hashImageContent(content: ImageContent): Promise<string> {
  const hash = createHash('sha256')
  for (const source of content.sources) {
    if (source.kind === 'file') {
      hash.update(`file ${source.to} ${source.mode.toString(8)}\n`).update(await readFile(source.from))
    } else {
      hash.update(source.kind === 'link' ? `link ${source.to} ${source.target}\n` : `root ${source.identity}\n`)
    }
  }
  for (const change of content.changes) hash.update(`change ${change}\n`)
  return hash.digest('hex')
}

/** The instructions an import is given: the image's own and its content label. */
export function computeChanges(content: ImageContent, hash: string): string[] {
  return [...content.changes, `LABEL ${CONTENT_LABEL}=${hash}`]
}

/** The root file system as a tar stream. Everything belongs to root, whoever packs it. */
export async function packImageContent(content: ImageContent): Promise<Readable> {
  const { pack } = await import('tar-fs')
  const sources = content.sources.toSorted(rootFirst)

  // tar-fs packs one source after the other into the same stream, each when the one before is done.
  const packFrom = (index: number, stream?: Pack): Pack | undefined => {
    const source = sources[index]
    if (source?.kind === 'link') {
      stream?.entry({ ...OWNER, name: relative(source.to), type: 'symlink', linkname: source.target })
      return packFrom(index + 1, stream)
    }
    if (source === undefined) {
      stream?.finalize()
      return stream
    }
    const options = {
      ...(stream === undefined ? {} : { pack: stream }),
      finalize: false,
      finish: (open: Pack) => packFrom(index + 1, open),
      // The modes are as given, not as this process would make files.
      umask: 0,
    }
    if (source.kind === 'root') return pack(source.from, { ...options, map: own })
    const file = { entries: [path.basename(source.from)], dereference: true }
    const map = (header: Headers) => own({ ...header, name: relative(source.to), mode: source.mode })
    return pack(path.dirname(source.from), { ...options, ...file, map })
  }

  const stream = packFrom(0)
  if (stream === undefined) throw new Error('an image begins with a file or a root')
  // tar-fs has streams of its own kind; child processes and HTTP clients want Node's.
  return Readable.from(stream, { objectMode: false })
}

const OWNER = { uid: 0, gid: 0, mtime: new Date(0) }

function own(header: Headers): Headers {
  return { ...header, ...OWNER }
}

function relative(absolute: string): string {
  return absolute.replace(/^\/+/, '')
}

/** Files and links lie over a root, never under it; files come before links so that a stream is open for them. */
function rootFirst(a: ImageSource, b: ImageSource): number {
  const order = { root: 0, file: 1, link: 2 }
  return order[a.kind] - order[b.kind]
}
