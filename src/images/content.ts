import { existsSync } from 'node:fs'
import path from 'node:path'
import { ExpectedError } from '../errors.js'
import { type NativeArch, nativeArch, nativeBuildDir, packageDir } from '../host/package-files.js'
import type { ImageContent, ImageName, ImageSource } from './image.js'
import { prepareMaxRoot } from './max-root.js'

/** Where the guard's image has its programs and libraries: an engine copies the directory into a fresh volume mounted there. */
const LIB_DIR = '/usr/lib/spark-run'

export interface ContentOptions {
  /** Directory of the built native parts; default: this package's for this machine. */
  readonly nativeDir?: string
  /** Where the max image's root file system is kept between builds. */
  readonly cacheDir?: string
  readonly log?: (line: string) => void
}

/**
 * What an image holds, as found on this machine.
 *
 * @throws ExpectedError where a part is missing: `NATIVE_MISSING`, `IMAGE_PART_MISSING`, `MAX_UNAVAILABLE`.
 */
export async function readImageContent(name: ImageName, options: ContentOptions = {}): Promise<ImageContent> {
  const nativeDir = options.nativeDir ?? nativeBuildDir()
  switch (name) {
    case 'guard':
      return guardContent(nativeDir)
    case 'greedy':
      return greedyContent(nativeDir, nativeArch())
    case 'max':
      return maxContent(options)
  }
}

function guardContent(nativeDir: string): ImageContent {
  const place = (file: string, mode: number): ImageSource => native(nativeDir, file, `${LIB_DIR}/${file}`, mode)
  return {
    sources: [
      place('spark-guard', 0o755),
      place('spark-hook', 0o755),
      place('libspark-shim.so', 0o644),
      place('libspark-cuda.so', 0o644),
      place('libspark-nvml.so', 0o644),
    ],
    changes: [`ENTRYPOINT ["${LIB_DIR}/spark-guard"]`, `ENV PATH=${LIB_DIR}`],
  }
}

/** The place of the dynamic loader is part of each processor's ABI. */
const LOADERS: Record<NativeArch, string> = {
  x86_64: '/lib64/ld-linux-x86-64.so.2',
  aarch64: '/lib/ld-linux-aarch64.so.1',
}

/** A loader finds its own libc where its distribution has it, so libc stays where it was found. */
function greedyContent(nativeDir: string, arch: NativeArch): ImageContent {
  const engine = native(nativeDir, 'greedy', '/bin/greedy', 0o755)
  const loader = LOADERS[arch]
  const libc = first(
    [`/lib/${arch}-linux-gnu/libc.so.6`, '/lib64/libc.so.6', '/usr/lib/libc.so.6'],
    'the C library libc.so.6',
    'spark-run builds its test engine from a glibc system.',
  )
  const busybox = first(['/bin/busybox'], 'busybox', 'Install it: apt-get install busybox-static')
  return {
    sources: [
      engine,
      { kind: 'file', from: busybox, to: '/bin/busybox', mode: 0o755 },
      ...['sh', 'cat', 'env', 'ls', 'sleep'].map(
        (applet): ImageSource => ({ kind: 'link', to: `/bin/${applet}`, target: 'busybox' }),
      ),
      { kind: 'file', from: loader, to: loader, mode: 0o755 },
      { kind: 'file', from: libc, to: libc, mode: 0o755 },
    ],
    changes: ['ENTRYPOINT ["/bin/greedy"]', 'ENV PATH=/bin'],
  }
}

async function maxContent(options: ContentOptions): Promise<ImageContent> {
  const root = await prepareMaxRoot(options)
  return {
    sources: [
      // The directory above is named by everything that the root is made of.
      { kind: 'root', from: root, identity: path.basename(path.dirname(root)) },
      { kind: 'file', from: path.join(packageDir, 'images/max/probe.py'), to: '/probe.py', mode: 0o644 },
    ],
    changes: ['ENTRYPOINT ["/usr/bin/python3","/probe.py"]', 'ENV PATH=/usr/bin', 'ENV PYTHONDONTWRITEBYTECODE=1'],
  }
}

function native(nativeDir: string, file: string, to: string, mode: number): ImageSource {
  const from = path.join(nativeDir, file)
  if (!existsSync(from)) {
    throw new ExpectedError('NATIVE_MISSING', `${file} is not built: ${from} is not there`, {
      hint: 'Build it: npm run build',
    })
  }
  return { kind: 'file', from, to, mode }
}

function first(candidates: readonly string[], what: string, hint: string): string {
  const found = candidates.find((candidate) => existsSync(candidate))
  if (found !== undefined) return found
  throw new ExpectedError('IMAGE_PART_MISSING', `${what} is not on this machine: looked for ${candidates.join(', ')}`, {
    hint,
  })
}
