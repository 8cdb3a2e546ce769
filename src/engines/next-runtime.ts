import { realpathSync, statSync } from 'node:fs'
import path from 'node:path'
import { ExpectedError } from '../errors.js'
import { readFileState, sha256 } from '../install/file-state.js'

/** The search path of services: what an engine finds a bare `runc` on where nothing else is known. */
export const SERVICE_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Where a program of this name is on a search path, or undefined. A path is returned as it is. */
export function resolveProgram(name: string, searchPath = SERVICE_PATH): string | undefined {
  if (name.includes('/')) return name
  for (const directory of searchPath.split(':').filter((part) => part.startsWith('/'))) {
    const candidate = path.join(directory, name)
    if (isExecutableFile(candidate)) return candidate
  }
  return undefined
}

/**
 * Checks the program that spark-runtime hands every container over to.
 *
 * @param ours path of our own runtime: handing over to itself would never end.
 * @throws ExpectedError `NEXT_RUNTIME_…` with what is wrong and what is allowed.
 */
export function checkNextRuntime(candidate: string, ours: string): string {
  const fail = (code: string, problem: string): never => {
    throw new ExpectedError(`NEXT_RUNTIME_${code}`, `the next runtime ${candidate} ${problem}`, {
      hint: 'Name the OCI runtime that starts your containers today, for example: --next-runtime /usr/bin/runc',
    })
  }
  if (!path.isAbsolute(candidate)) return fail('RELATIVE', 'is not an absolute path')
  let stat: ReturnType<typeof statSync>
  try {
    stat = statSync(candidate)
  } catch {
    return fail('MISSING', 'does not exist')
  }
  if (!stat.isFile() || (stat.mode & 0o111) === 0) return fail('NOT_A_PROGRAM', 'is not a program')
  if (stat.uid !== 0 || (stat.mode & 0o022) !== 0) {
    return fail('UNSAFE', 'can be written by others than root, and it would run as root for every container')
  }
  if (isSameProgram(candidate, ours))
    return fail('OURSELVES', 'is spark-runtime itself, which would call itself for ever')
  return candidate
}

function isSameProgram(candidate: string, ours: string): boolean {
  if (path.basename(realpathSync(candidate)) === 'spark-runtime') return true
  const [a, b] = [readFileState(candidate), readFileState(ours)]
  return (
    a !== undefined &&
    b !== undefined &&
    a.content.length === b.content.length &&
    sha256(a.content) === sha256(b.content)
  )
}

function isExecutableFile(file: string): boolean {
  try {
    const stat = statSync(file)
    return stat.isFile() && (stat.mode & 0o111) !== 0
  } catch {
    return false
  }
}
