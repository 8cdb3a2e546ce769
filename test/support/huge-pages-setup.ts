import { raiseOvercommit, restoreSetting } from '../../src/host/huge-pages.js'

/** 2 GiB in pages of 2 MiB: more than any engine test takes at once. */
const WANTED_PAGES = 1024

/** A new machine gives out no huge pages; the engine tests need some, and put the setting back as it was. */
export default function setup(): (() => void) | undefined {
  let changed: ReturnType<typeof raiseOvercommit>
  try {
    changed = raiseOvercommit(WANTED_PAGES)
  } catch {
    // Not root, or a read-only /proc/sys: the tests that need huge pages say so themselves.
    return undefined
  }
  return changed === undefined ? undefined : () => restoreSetting(changed)
}
