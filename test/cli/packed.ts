import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { packageDir } from '../../src/host/package-files.js'

/** The package as a user has it: packed by npm, unpacked elsewhere, away from the checkout. */
export interface PackedPackage {
  readonly dir: string
  /** The program that npm links into PATH. */
  readonly program: string
  remove(): void
}

/**
 * Packs the checkout and unpacks it as `npm install` would, in a directory of its own. Its dependencies are the checkout's, by
 * one link, because tests have no network; that `package.json` names them all is for the build to prove.
 */
export function installPacked(): PackedPackage {
  if (!existsSync(path.join(packageDir, 'dist/launch/front.js'))) {
    throw new Error('dist/ is missing: run npm run build first')
  }
  const root = mkdtempSync(path.join(tmpdir(), 'spark-packed-'))
  try {
    return unpackInto(root)
  } catch (error) {
    rmSync(root, { recursive: true })
    throw error
  }
}

function unpackInto(root: string): PackedPackage {
  const packed = execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', root], {
    cwd: packageDir,
    encoding: 'utf8',
    stdio: 'pipe',
  })
  const dir = path.join(root, 'node_modules', 'spark-run')
  mkdirSync(dir, { recursive: true })
  execFileSync('tar', ['-xzf', path.join(root, packed.trim()), '-C', dir, '--strip-components=1'])
  symlinkSync(path.join(packageDir, 'node_modules'), path.join(dir, 'node_modules'))
  return { dir, program: path.join(dir, 'bin/spark-run.js'), remove: () => rmSync(root, { recursive: true }) }
}
