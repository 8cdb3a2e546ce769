import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

/** Directories of this machine that hold its programs and what they need, read-only in the container. */
const OWN_DIRECTORIES = ['/usr/bin', '/usr/lib64', '/usr/lib/python3', '/usr/lib/jvm']
const OWN_DIRECTORY_NAMES = [
  { parent: '/usr/lib', name: /-linux-gnu$|^ld-linux-|^python3\.\d+$/ },
  { parent: '/etc', name: /^java-/ },
]

/**
 * Makes an image that is empty but for directories. With the flags that come with it, a container of it runs the programs that
 * this machine has, as a Debian image would, and nothing has to be fetched.
 *
 * @param tag its name, on the daemon that `env` leads to
 * @returns flags of `docker run`
 */
export function makeOwnFilesImage(tag: string, env: NodeJS.ProcessEnv): string[] {
  const root = mkdtempSync(path.join(os.tmpdir(), 'spark-image-'))
  try {
    for (const directory of [
      'proc',
      'sys',
      'dev',
      'etc',
      'run',
      'tmp',
      'root',
      'usr/bin',
      'usr/sbin',
      'usr/lib',
      'usr/lib64',
    ]) {
      mkdirSync(path.join(root, directory), { recursive: true })
    }
    for (const name of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, path.join(root, name))
    const packed = spawnSync('tar', ['-C', root, '-c', '.'])
    const made = spawnSync('docker', ['import', '-', tag], { env, input: packed.stdout, encoding: 'utf8' })
    if (made.status !== 0) throw new Error(`docker import: ${made.stderr}`)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
  const found = OWN_DIRECTORY_NAMES.flatMap(({ parent, name }) =>
    readdirSync(parent)
      .filter((entry) => name.test(entry))
      .map((entry) => path.join(parent, entry)),
  )
  return [...OWN_DIRECTORIES, ...found].filter((own) => existsSync(own)).flatMap((own) => ['-v', `${own}:${own}:ro`])
}
