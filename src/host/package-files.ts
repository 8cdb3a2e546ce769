import { readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** Root of the installed package (or of the checkout): where package.json, native/, images/ and hooks/ are. */
export const packageDir = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')

/** Node's `process.arch` in the kernel's words, as used in `native/build/<arch>/`. */
export type NativeArch = 'x86_64' | 'aarch64'

/**
 * This machine's architecture.
 *
 * @throws Error on anything but x86_64 and aarch64, which are all that the native parts are built for.
 */
export function nativeArch(nodeArch: string = process.arch): NativeArch {
  if (nodeArch === 'x64') return 'x86_64'
  if (nodeArch === 'arm64') return 'aarch64'
  throw new Error(`no native parts for ${nodeArch}: spark-run is built for x86_64 and aarch64`)
}

/** Directory of the built native parts: spark-runtime, spark-hook, spark-guard, lib*.so and sim/. */
export function nativeBuildDir(arch: NativeArch = nativeArch()): string {
  return path.join(packageDir, 'native', 'build', arch)
}

/** The version in this package's package.json. */
export function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(path.join(packageDir, 'package.json'), 'utf8'))
  return String((manifest as { version: unknown }).version)
}
