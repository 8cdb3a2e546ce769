import { readFileSync } from 'node:fs'

/**
 * The variables a person gives a container by `-e` and `--env-file`, as Docker reads them: later ones win, a bare name is
 * taken from the caller's environment and does not exist where that has none.
 */
export function computeUserEnv(
  given: { readonly env: readonly string[]; readonly envFiles: readonly string[] },
  environment: Readonly<NodeJS.ProcessEnv>,
): Record<string, string> {
  const lines = [...given.envFiles.flatMap(readEnvFile), ...given.env]
  return Object.fromEntries(
    lines.flatMap((line): [string, string][] => {
      const at = line.indexOf('=')
      if (at > 0) return [[line.slice(0, at), line.slice(at + 1)]]
      const inherited = environment[line]
      return inherited === undefined ? [] : [[line, inherited]]
    }),
  )
}

/** `NAME=value` texts as an image has them. */
export function computeImageEnv(assignments: readonly string[]): Record<string, string> {
  return computeUserEnv({ env: assignments.filter((assignment) => assignment.includes('=')), envFiles: [] }, {})
}

/** A file that cannot be read is for Docker to complain about. */
function readEnvFile(file: string): string[] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.trimStart().replace(/\r$/, ''))
      .filter((line) => line !== '' && !line.startsWith('#'))
  } catch {
    return []
  }
}
