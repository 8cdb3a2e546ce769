import { createHash } from 'node:crypto'
import { existsSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import path from 'node:path'
import * as v from 'valibot'
import { changeSharedNote, holderOfOurs, holderSchema, othersAmong, parseSharedNote } from '../host/shared-note.js'

/** What dockerd and containerd make at fixed places, whatever their configuration says; what lies deeper comes first. */
const FIXED_PLACES = [
  // The daemon's own key: Docker before 24 makes one.
  'etc/docker/key.json',
  'etc/docker',
  'opt/containerd/bin',
  'opt/containerd/lib',
  'opt/containerd',
  'run/containerd/s',
  'run/containerd',
  'run/docker/plugins',
  'run/docker',
] as const

const SHIM_SOCKETS = 'run/containerd/s'

const noteSchema = v.object({
  /** The places that were not there before the first of the holders came. */
  absent: v.array(v.string()),
  holders: v.array(holderSchema),
})

type Note = v.InferOutput<typeof noteSchema>

const noteFileOf = (root: string) => path.join(root, 'run/spark-run-dockerd.json')

/** Remembers, before a daemon of `dir` starts, which of the fixed places are not there yet. */
export function rememberFixedPlaces(dir: string, root = '/'): void {
  changeSharedNote(noteFileOf(root), (text) => {
    const known = parseSharedNote(text, noteSchema)
    const missing = FIXED_PLACES.filter((place) => !existsSync(path.join(root, place)))
    const note: Note = {
      absent: [...new Set([...(known?.absent ?? []), ...missing])],
      holders: [...othersAmong(known?.holders ?? [], dir), holderOfOurs(dir)],
    }
    return { text: JSON.stringify(note), result: undefined }
  })
}

/**
 * Removes the places that were not there before, once no private daemon needs them: directories only where they are empty,
 * and nothing while the machine has a daemon of its own.
 */
export function clearFixedPlaces(dir: string, root = '/'): void {
  changeSharedNote(noteFileOf(root), (text) => {
    const known = parseSharedNote(text, noteSchema)
    if (known === undefined) return { text: '', result: undefined }
    const holders = othersAmong(known.holders, dir)
    if (holders.length > 0) return { text: JSON.stringify({ ...known, holders } satisfies Note), result: undefined }
    if (!existsSync(path.join(root, 'run/docker.sock'))) {
      for (const place of FIXED_PLACES) if (known.absent.includes(place)) removePlace(path.join(root, place))
    }
    return { text: '', result: undefined }
  })
}

/** Removes the sockets of the shims of the containers in `dataRoot`, which only a killed daemon leaves behind. */
export function removeShimSockets({ dataRoot, execRoot }: { dataRoot: string; execRoot: string }, root = '/'): void {
  const address = path.join(execRoot, 'containerd/containerd.sock')
  for (const id of listIfPresent(path.join(dataRoot, 'containers'))) {
    // As containerd itself computes it: the sum of its own address, Docker's namespace and the container.
    const name = createHash('sha256')
      .update(path.join(address, 'moby', id))
      .digest('hex')
    removePlace(path.join(root, SHIM_SOCKETS, name))
  }
}

function removePlace(place: string): void {
  for (const remove of [unlinkSync, rmdirSync]) {
    try {
      remove(place)
    } catch {
      // A directory for the one, a file for the other; gone, or in use by somebody else.
    }
  }
}

function listIfPresent(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch {
    return []
  }
}
