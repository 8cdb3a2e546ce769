import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import tar from 'tar-fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readImageContent } from '../../../src/images/content.js'
import { CONTENT_LABEL, type ImageContent, imageTag } from '../../../src/images/image.js'
import { defaultCacheDir } from '../../../src/images/max-root.js'
import { computeChanges, hashImageContent, packImageContent } from '../../../src/images/pack.js'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(path.join(os.tmpdir(), 'spark-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

/** What is in a packed image: name, mode, owner, size and target of every entry, in order. */
async function list(content: ImageContent): Promise<string[]> {
  const entries: string[] = []
  const target = path.join(dir, 'unpacked')
  const unpack = tar.extract(target, {
    chown: false,
    map(header) {
      entries.push(`${header.name} ${header.mode.toString(8)} ${header.uid} ${header.size}`)
      return header
    },
  } as tar.ExtractOptions)
  const stream = await packImageContent(content)
  await new Promise<void>((resolve, reject) => {
    stream.on('error', reject)
    stream.pipe(unpack).on('finish', resolve).on('error', reject)
  })
  return entries
}

function file(name: string, text: string, to: string, mode = 0o644) {
  const from = path.join(dir, name)
  writeFileSync(from, text)
  return { kind: 'file', from, to, mode } as const
}

describe('an image', () => {
  it('has a tag with the version of this package', () => {
    expect(imageTag('guard')).toMatch(/^spark-run\/guard:\d+\.\d+\.\d+/)
  })

  it('is packed with the names and modes given, owned by root', async () => {
    const content: ImageContent = {
      sources: [
        { kind: 'link', to: '/bin/sh', target: 'busybox' },
        file('busybox-here', 'box', '/bin/busybox', 0o755),
        file('text', 'words', '/etc/words'),
      ],
      changes: [],
    }
    expect(await list(content)).toEqual(['bin/busybox 755 0 3', 'etc/words 644 0 5', 'bin/sh 644 0 0'])
  })

  it('is packed from a whole directory with files over it, and keeps modes that a umask would take away', async () => {
    mkdirSync(path.join(dir, 'root/tmp'), { recursive: true })
    chmodSync(path.join(dir, 'root'), 0o755)
    chmodSync(path.join(dir, 'root/tmp'), 0o1777)
    const content: ImageContent = {
      sources: [file('probe', 'x', '/probe'), { kind: 'root', from: path.join(dir, 'root'), identity: 'one' }],
      changes: [],
    }
    const listed = await list(content)
    expect(listed.some((entry) => /^tmp 4?1777 0 0$/.test(entry))).toBe(true)
    expect(listed.at(-1)).toBe('probe 644 0 1')
  })

  it('follows a symbolic link to a file', async () => {
    const real = file('libc-2.36.so', 'elf', '/lib/libc.so.6')
    symlinkSync('libc-2.36.so', path.join(dir, 'libc.so.6'))
    const linked = { ...real, from: path.join(dir, 'libc.so.6') }
    expect(await list({ sources: [linked], changes: [] })).toEqual(['lib/libc.so.6 644 0 3'])
  })
})

describe('the content hash', () => {
  it('is the same for the same content and changes with anything that is in the image', async () => {
    const source = file('a', 'one', '/a')
    const base: ImageContent = { sources: [source], changes: ['ENV A=1'] }
    const hash = await hashImageContent(base)
    expect(hash).toMatch(/^[0-9a-f]{64}$/)
    expect(await hashImageContent({ ...base })).toBe(hash)
    const others: ImageContent[] = [
      { ...base, changes: ['ENV A=2'] },
      { ...base, sources: [{ ...source, mode: 0o755 }] },
      { ...base, sources: [{ ...source, to: '/b' }] },
      { ...base, sources: [source, { kind: 'link', to: '/c', target: 'a' }] },
      { ...base, sources: [source, { kind: 'root', from: dir, identity: 'x' }] },
    ]
    const hashes = await Promise.all(others.map((other) => hashImageContent(other)))
    expect(new Set([hash, ...hashes]).size).toBe(others.length + 1)
    writeFileSync(source.from, 'two')
    expect(await hashImageContent(base)).not.toBe(hash)
  })

  it('is given to the engine as a label', () => {
    expect(computeChanges({ sources: [], changes: ['CMD ["x"]'] }, 'abc')).toEqual([
      'CMD ["x"]',
      `LABEL ${CONTENT_LABEL}=abc`,
    ])
  })
})

describe('missing parts', () => {
  it.each(['guard', 'greedy'] as const)('are named, with the way to build them: %s', async (name) => {
    await expect(readImageContent(name, { nativeDir: dir })).rejects.toMatchObject({
      code: 'NATIVE_MISSING',
      message: expect.stringMatching(/^(spark-guard|greedy) is not built: .* is not there$/),
      hint: 'Build it: npm run build',
    })
  })
})

describe('the cache', () => {
  it('follows XDG_CACHE_HOME, else lies in the home directory', () => {
    expect(defaultCacheDir({ XDG_CACHE_HOME: '/somewhere' })).toBe('/somewhere/spark-run')
    expect(defaultCacheDir({})).toBe(path.join(os.homedir(), '.cache/spark-run'))
  })
})
