import { readFileSync, writeFileSync } from 'node:fs'
import type { HugePages } from '../host/meminfo.js'

const OVERCOMMIT_FILE = '/proc/sys/vm/nr_overcommit_hugepages'

/** A kernel setting that was changed: what it was, and what we made of it. */
export interface ChangedSetting {
  file: string
  before: string
  ours: string
}

/** Pages of `nr_overcommit_hugepages` that let `bytes` be taken beyond what is in use now. */
export function computeOvercommit(pages: HugePages, bytes: number): number {
  if (pages.pageBytes === 0) return 0
  return pages.surplus + Math.ceil(bytes / pages.pageBytes)
}

/**
 * Raises the number of huge pages that may be taken on demand, where it is too low.
 *
 * @returns what was changed, or undefined where nothing had to be.
 * @throws the error of writing, where we may not.
 */
export function raiseOvercommit(wantedPages: number, file = OVERCOMMIT_FILE): ChangedSetting | undefined {
  const before = readFileSync(file, 'utf8').trim()
  if (Number(before) >= wantedPages) return undefined
  writeFileSync(file, String(wantedPages))
  return { file, before, ours: readFileSync(file, 'utf8').trim() }
}

/** Puts a setting back, unless somebody else has changed it since. */
export function restoreSetting(setting: ChangedSetting): void {
  if (readFileSync(setting.file, 'utf8').trim() === setting.ours) writeFileSync(setting.file, setting.before)
}
