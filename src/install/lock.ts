import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { ExpectedError } from '../errors.js'

/**
 * Runs `work` while nobody else installs or uninstalls under the same lock file. The lock is flock(2)'s, which the kernel
 * releases when this process ends, however it ends. Node has no flock, so util-linux' flock takes it on our open file.
 *
 * @throws ExpectedError `INSTALL_BUSY` when another process holds it.
 */
export async function withInstallLock<T>(lockFile: string, work: () => Promise<T>): Promise<T> {
  const fd = openSync(lockFile, 'a+', 0o644)
  try {
    const { status, error } = spawnSync('flock', ['-n', '3'], { stdio: ['ignore', 'ignore', 'pipe', fd] })
    if (error !== undefined) {
      throw new ExpectedError('FLOCK_MISSING', `cannot lock ${lockFile}: ${error.message}`, {
        hint: 'The program flock is part of util-linux.',
      })
    }
    if (status !== 0) {
      throw new ExpectedError(
        'INSTALL_BUSY',
        `another spark-run (process ${holder(lockFile)}) installs or uninstalls right now`,
        {
          hint: 'Try again when it is done.',
        },
      )
    }
    writeFileSync(lockFile, `${process.pid}\n`)
    return await work()
  } finally {
    closeSync(fd)
  }
}

function holder(lockFile: string): string {
  const text = readFileSync(lockFile, 'utf8').trim()
  return text === '' ? 'unknown' : text
}
