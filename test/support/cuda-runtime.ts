import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import { defaultCacheDir } from '../../src/images/max-root.js'

/** NVIDIA's runtime library of one CUDA version, from its wheel (3 MB), kept in the cache of large things. */
const WHEELS = {
  12: { wheel: 'nvidia-cuda-runtime-cu12==12.9.79', directory: 'nvidia/cuda_runtime/lib' },
  13: { wheel: 'nvidia-cuda-runtime==13.5.37', directory: 'nvidia/cu13/lib' },
} as const

export type CudaMajor = keyof typeof WHEELS

/** The directory with `libcudart.so.N` and `libcudart_static.a`, or a sentence on why there is none. */
export function cudaRuntime(major: CudaMajor): { readonly directory: string } | { readonly missing: string } {
  const { wheel, directory } = WHEELS[major]
  const made = path.join(defaultCacheDir(), `cudart-${wheel.split('==')[1]}`)
  if (existsSync(made)) return { directory: path.join(made, directory) }
  mkdirSync(defaultCacheDir(), { recursive: true })
  const work = mkdtempSync(path.join(defaultCacheDir(), '.cudart-'))
  try {
    const args = ['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps', '--dest', work, wheel]
    const fetched = spawnSync('python3', args, { encoding: 'utf8' })
    const file = readdirSync(work).find((name) => name.endsWith('.whl'))
    if (fetched.status !== 0 || file === undefined) return { missing: `the wheel ${wheel} cannot be fetched` }
    const unpacked = spawnSync('python3', ['-m', 'zipfile', '-e', path.join(work, file), path.join(work, 'out')])
    if (unpacked.status !== 0) return { missing: `the wheel ${wheel} cannot be unpacked` }
    renameSync(path.join(work, 'out'), made)
    return { directory: path.join(made, directory) }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
