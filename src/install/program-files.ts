import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { ExpectedError } from '../errors.js'
import { type NativeArch, nativeArch, nativeBuildDir } from '../host/package-files.js'
import type { HostPaths } from '../host/paths.js'
import { computeOwnFile, type FileChange } from './file-change.js'

/** What is copied to the host, by root, from `native/build/<arch>/`: nothing under a home or node_modules is ever registered. */
const PROGRAMS = ['spark-runtime', 'spark-hook', 'spark-guard'] as const
const LIBRARIES = ['libspark-shim.so', 'libspark-cuda.so', 'libspark-nvml.so'] as const

/** Where the libraries lie inside every container, whatever the host's prefix (docs/formats.md section 3). */
const CONTAINER_SHIM = '/usr/lib/spark-run/libspark-shim.so'

/**
 * Programs and libraries as they shall lie in `<libDir>`.
 *
 * @throws ExpectedError `NATIVE_NOT_BUILT` where this package has none for this processor.
 */
export function computeProgramFiles(paths: HostPaths, buildDir?: string): FileChange[] {
  const arch = supportedArch()
  const from = buildDir ?? nativeBuildDir(arch)
  const missing = [...PROGRAMS, ...LIBRARIES].filter((name) => !existsSync(path.join(from, name)))
  if (missing.length > 0) {
    throw new ExpectedError(
      'NATIVE_NOT_BUILT',
      `${missing.join(', ')} for ${arch} ${missing.length === 1 ? 'is' : 'are'} not built yet (looked in ${from})`,
      {
        hint: 'Build first: npm run build',
      },
    )
  }
  const copy = (name: string, mode: number, what: string) =>
    own(what, path.join(paths.libDir, name), readFileSync(path.join(from, name)), mode)
  const placeholder = path.join(paths.libDir, 'ledger')
  return [
    ...PROGRAMS.map((name) => copy(name, 0o755, 'program')),
    ...LIBRARIES.map((name) => copy(name, 0o644, 'library')),
    own('list of preloaded libraries', path.join(paths.libDir, 'ld.so.preload'), `${CONTAINER_SHIM}\n`, 0o644),
    placeLedger(placeholder),
  ]
}

/**
 * Containers mount their ledger over this file, and a file that takes its place would take those mounts away: one that is there
 * and empty stays, whatever its mode.
 */
function placeLedger(file: string): FileChange {
  const change = own('place for the ledger of a container', file, '', 0o644)
  return change.before?.content.length === 0 ? { ...change, after: change.before } : change
}

function own(what: string, file: string, content: Buffer | string, mode: number): FileChange {
  return computeOwnFile({ what, path: file, content, mode, ifEdited: { kind: 'remove' } })
}

function supportedArch(): NativeArch {
  try {
    return nativeArch()
  } catch (error) {
    throw new ExpectedError('ARCH_UNSUPPORTED', (error as Error).message)
  }
}
