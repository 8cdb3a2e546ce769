// What fills memory in bench:guard. Every scenario has one guilty container and others that must live.

import { execFileSync } from 'node:child_process'
import { closeSync, ftruncateSync, openSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { GIB, MIB, meminfoBytes } from './guard-stage.js'
import { ENGINE } from './guard-tools.js'

/** Left free by the page cache: less than a run takes, so that every run has to take cache back. */
const FREE_BESIDE_CACHE_BYTES = 1.2 * GIB

/** Clean page cache in the honest container's name: a file without data is read, which costs no disk. */
const pageCache = {
  async begin({ stage, dir, quick }) {
    const file = path.join(dir, 'cached')
    const room = meminfoBytes('MemFree') - FREE_BESIDE_CACHE_BYTES
    const bytes = Math.max(0, Math.floor(Math.min(room, quick ? GIB / 2 : room) / (64 * MIB))) * 64 * MIB
    const fd = openSync(file, 'w')
    ftruncateSync(fd, bytes)
    closeSync(fd)
    return {
      prepare: () =>
        stage.inContainer('honest', ['reader', path.join(dir, 'reader-board'), String(bytes), 'cache', file]),
      end: () => rmSync(file, { force: true }),
    }
  },
}

const swap = {
  /** @throws where swap cannot be switched on here */
  async begin({ dir, quick }) {
    const file = path.join(dir, 'swap')
    writeFileSync(file, Buffer.alloc((quick ? 64 : 1024) * MIB), { mode: 0o600 })
    try {
      execFileSync('mkswap', [file], { stdio: 'ignore' })
      execFileSync('swapon', [file], { stdio: ['ignore', 'ignore', 'pipe'] })
    } catch (error) {
      rmSync(file, { force: true })
      throw new Error(`swap cannot be switched on here: ${String(error.stderr ?? error.message).trim()}`)
    }
    return {
      prepare: async () => {},
      end() {
        execFileSync('swapoff', [file])
        rmSync(file, { force: true })
      },
    }
  },
}

/**
 * `load`: mode and number of the guilty one's program (native/test/bench/guard/load.c); `many`: it has many processes; `budgetBytes`: what that was granted;
 * `honestBytes`: what the other container holds; `settleMs`: how long after the death a wrong kill is still looked for.
 */
export const scenarios = [
  { name: 'hugetlb', load: ['huge'] },
  // Nobody holds more than was granted, so that no forecast is allowed: from the crossing on it is the reaction alone.
  { name: 'within-budget', load: ['huge'], budgetBytes: 1024 * GIB },
  { name: 'page-cache', load: ['anon'], around: pageCache },
  { name: 'small-growers', load: ['growers', '32'], many: true },
  { name: 'giant-and-liar', load: ['anon'], honestBytes: 2.5 * GIB },
  { name: 'fork-bomb', load: ['bomb', '256'], pidsMax: 300, many: true },
  { name: 'slow-return', load: ['huge-kept', '2000'], settleMs: 2600, slow: true },
  { name: 'swap-on', load: ['anon'], around: swap },
].map((scenario) => ({ honestBytes: 64 * MIB, budgetBytes: 256 * MIB, settleMs: 250, engine: ENGINE, ...scenario }))

/** The honest container may take this much more than it holds. */
export const honestBudget = (scenario) => scenario.honestBytes * 2
