import os from 'node:os'
import path from 'node:path'
import { ExpectedError } from '../errors.js'
import { packageDir } from '../host/package-files.js'

/** Where large things that can be made again are kept: `$XDG_CACHE_HOME/spark-run`, else `~/.cache/spark-run`. */
export function defaultCacheDir(environment: Readonly<NodeJS.ProcessEnv> = process.env): string {
  const base = environment.XDG_CACHE_HOME || path.join(os.homedir(), '.cache')
  return path.join(base, 'spark-run')
}

/**
 * The root file system of the max image, made by `images/max/prepare.sh` on the first call (about 10 s and 200 MB of
 * downloads) and kept in the cache.
 *
 * @throws ExpectedError `MAX_UNAVAILABLE` with the script's own last sentence, such as that there is no network.
 */
export async function prepareMaxRoot(options: {
  readonly cacheDir?: string
  readonly log?: (line: string) => void
}): Promise<string> {
  const { execa } = await import('execa')
  const script = path.join(packageDir, 'images/max/prepare.sh')
  const child = execa('sh', [script, options.cacheDir ?? defaultCacheDir()], { reject: false, stdin: 'ignore' })
  const words: string[] = []
  for await (const line of child.iterable({ from: 'stderr' })) {
    words.push(line)
    options.log?.(line)
  }
  const { exitCode, stdout } = await child
  if (exitCode === 0) return stdout
  const sentence = words.at(-1)?.replace(/^images\/max: /, '') ?? `${script} ended with exit code ${exitCode}`
  throw new ExpectedError('MAX_UNAVAILABLE', `the image of the real MAX cannot be made: ${sentence}`)
}
