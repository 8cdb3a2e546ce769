import type { EngineName } from '../engines/engine.js'
import { type InstallRecord, writeInstallRecord } from './record.js'

/** The record while an installation is under way: every change of it is on disk before the next step is taken. */
export interface RecordKeeper {
  readonly current: InstallRecord
  update(change: Partial<InstallRecord>): void
  /** Directories that a part made, for `uninstall` to remove where they are empty. */
  addDirectories(part: 'shared' | EngineName, directories: readonly string[]): void
  /** The installation is done, with this engine. */
  complete(engine: EngineName): void
}

export function keepRecord(file: string, initial: InstallRecord): RecordKeeper {
  let current = initial
  const update = (change: Partial<InstallRecord>) => {
    current = { ...current, ...change }
    writeInstallRecord(file, current)
  }
  const updatePart = (name: 'shared' | EngineName, change: (directories: string[]) => object) => {
    const part = name === 'shared' ? current.shared : current.engines[name]
    if (part === undefined) throw new Error(`the record has no part ${name}`)
    const changed = { ...part, ...change(part.directories) }
    update(name === 'shared' ? { shared: changed } : { engines: { ...current.engines, [name]: changed } })
  }
  return {
    get current() {
      return current
    },
    update,
    addDirectories: (part, directories) => {
      if (directories.length > 0) updatePart(part, (known) => ({ directories: [...known, ...directories] }))
    },
    complete: (engine) => {
      updatePart('shared', () => ({ complete: true }))
      updatePart(engine, () => ({ complete: true }))
    },
  }
}
