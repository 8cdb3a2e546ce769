import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { FileChange } from './file-change.js'
import { isApplied } from './file-change.js'

/** The change as `diff -u` prints it; one line for a program; empty where nothing changes. */
export function formatChange(change: FileChange): string {
  if (isApplied(change)) return ''
  const { before, after } = change
  const mode = after.mode.toString(8).padStart(4, '0')
  if (isBinary(after.content)) {
    const verb = before === undefined ? 'new' : 'replaced'
    return `${verb}: ${change.path} (${mode}, ${after.content.length} bytes)\n`
  }
  if (after.content.length === 0 && before === undefined) return `new: ${change.path} (${mode}, empty)\n`
  if (before?.content.equals(after.content) === true) {
    return `mode or owner of ${change.path}: ${before.mode.toString(8).padStart(4, '0')} becomes ${mode}\n`
  }
  return unifiedDiff(change.path, before?.content, after.content)
}

function unifiedDiff(file: string, before: Buffer | undefined, after: Buffer): string {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'spark-run-diff-'))
  try {
    const [old, now] = [path.join(dir, 'before'), path.join(dir, 'after')]
    writeFileSync(old, before ?? '')
    writeFileSync(now, after)
    const label = ['--label', before === undefined ? '/dev/null' : file, '--label', file]
    const { status, stdout } = spawnSync('diff', ['-u', ...label, old, now], { encoding: 'utf8' })
    // 1 = they differ. Debian's minimal images may lack diffutils: then the whole file is shown, old and new.
    return status === 1 ? stdout : wholeFile(file, before, after)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** A correct, if long-winded, unified diff: everything out, everything in. */
export function wholeFile(file: string, before: Buffer | undefined, after: Buffer): string {
  const [out, into] = [toLines(before), toLines(after)]
  const range = (lines: string[]) => (lines.length === 0 ? '0,0' : `1,${lines.length}`)
  return [
    `--- ${before === undefined ? '/dev/null' : file}`,
    `+++ ${file}`,
    `@@ -${range(out)} +${range(into)} @@`,
    ...out.map((line) => `-${line}`),
    ...into.map((line) => `+${line}`),
    '',
  ].join('\n')
}

function toLines(content: Buffer | undefined): string[] {
  const text = content?.toString('utf8') ?? ''
  if (text === '') return []
  const lines = (text.endsWith('\n') ? text.slice(0, -1) : text).split('\n')
  if (!text.endsWith('\n')) lines[lines.length - 1] += '\n\\ No newline at end of file'
  return lines
}

function isBinary(content: Buffer): boolean {
  return content.includes(0)
}
