import path from 'node:path'
import { EXIT_USAGE, ExpectedError } from '../errors.js'
import { computeOvercommit, raiseOvercommit, restoreSetting } from '../host/huge-pages.js'
import { hugePagesInUseBytes, readMeminfo } from '../host/meminfo.js'
import { nativeBuildDir } from '../host/package-files.js'
import { formatBytes } from '../plan/size.js'

/** What makes a simulated GB10 of a program's environment: docs/formats.md section 10. */
export function simulatorEnvironment(
  simBytes: number,
  environment: Readonly<NodeJS.ProcessEnv>,
): Record<string, string> {
  const anonymous = wantsAnonymousPages(environment)
  return {
    LD_LIBRARY_PATH: putBefore(environment.LD_LIBRARY_PATH, path.join(nativeBuildDir(), 'sim')),
    SPARK_SIM_TOTAL: String(simBytes),
    SPARK_SIM_BASELINE: anonymous ? '0' : String(hugePagesInUseBytes(readMeminfo().hugePages)),
    SPARK_SIM_PAGES: anonymous ? 'anonymous' : 'hugetlb',
  }
}

/**
 * Makes sure that the kernel gives out `bytes` of huge pages beyond those in use; what was raised for it is put back by
 * `undo`.
 *
 * @throws ExpectedError (exit code 2) where only root could.
 */
export function holdPages(bytes: number, environment: Readonly<NodeJS.ProcessEnv>, undo: (() => void)[]): void {
  if (wantsAnonymousPages(environment)) return
  const { hugePages } = readMeminfo()
  if (hugePages.pageBytes === 0) throw withoutPages(`this kernel has no huge pages`)
  const wanted = computeOvercommit(hugePages, bytes)
  try {
    const setting = raiseOvercommit(wanted)
    if (setting !== undefined) undo.push(() => restoreSetting(setting))
  } catch {
    throw withoutPages(
      `vm.nr_overcommit_hugepages allows less than ${formatBytes(bytes)}: as root run sysctl -w vm.nr_overcommit_hugepages=${wanted}`,
    )
  }
}

function wantsAnonymousPages(environment: Readonly<NodeJS.ProcessEnv>): boolean {
  return environment.SPARK_SIM_PAGES === 'anonymous'
}

function withoutPages(reason: string): ExpectedError {
  return new ExpectedError(
    'NO_HUGE_PAGES',
    `--sim takes huge pages, and ${reason}; or set SPARK_SIM_PAGES=anonymous, and each process counts only what it holds itself`,
    { exitCode: EXIT_USAGE },
  )
}

/** Puts ours before what a list of the loader (LD_PRELOAD, LD_LIBRARY_PATH) holds already. */
export function putBefore(list: string | undefined, ours: string): string {
  return list === undefined || list === '' ? ours : `${ours}:${list}`
}
