import { isDeepStrictEqual } from 'node:util'
import {
  applyEdits,
  findNodeAtLocation,
  type JSONPath,
  modify,
  type Node,
  type ParseError,
  parseTree,
  stripComments,
} from 'jsonc-parser'
import { ExpectedError } from '../../errors.js'
import { jsonProblem } from '../../json-problem.js'

/** A runtime as Docker's configuration file describes it. */
export interface RuntimeEntry {
  readonly path: string
  readonly runtimeArgs: readonly string[]
}

/** The name that containers ask for: `docker run --runtime spark`. */
export const RUNTIME_NAME = 'spark'

export interface DaemonJsonEdit {
  readonly text: string
  /** The outermost keys that were not there before: what `uninstall` takes out of a file that was edited since. */
  readonly insertedKeys: JSONPath[]
}

/** What spark-run needs to know of Docker's configuration file. */
export interface DaemonJson {
  readonly defaultRuntime: string | undefined
  /** Path and arguments of each runtime; undefined where an entry has no path (a containerd shim). */
  readonly runtimes: ReadonlyMap<string, RuntimeEntry | undefined>
  readonly dataRoot: string | undefined
  readonly pidFile: string | undefined
}

/**
 * Reads Docker's configuration file.
 *
 * @param file names it in errors.
 * @throws ExpectedError `DAEMON_JSON_BROKEN` with line and column; an empty file is an empty configuration.
 */
export function parseDaemonJson(text: string, file: string): DaemonJson {
  return readDaemonJson(withoutMark(text), file)
}

function readDaemonJson(text: string, file: string): DaemonJson {
  const root = parseObject(text, file)
  const value = (...path: string[]) => {
    const found = root && findNodeAtLocation(root, path)
    return typeof found?.value === 'string' ? found.value : undefined
  }
  const runtimes = new Map<string, RuntimeEntry | undefined>()
  const listed = root && findNodeAtLocation(root, ['runtimes'])
  if (listed !== undefined && listed.type !== 'object') {
    throw broken(file, text, listed.offset, '"runtimes" should be an object')
  }
  for (const property of listed?.children ?? []) {
    const name = property.children?.[0]?.value as string
    const path = value('runtimes', name, 'path')
    const args = root && findNodeAtLocation(root, ['runtimes', name, 'runtimeArgs'])?.children
    const runtimeArgs = (args ?? []).map((node) => String(node.value))
    runtimes.set(name, path === undefined ? undefined : { path, runtimeArgs })
  }
  return {
    defaultRuntime: value('default-runtime'),
    runtimes,
    dataRoot: value('data-root') ?? value('graph'),
    pidFile: value('pidfile'),
  }
}

/**
 * Adds our runtime, and makes it the default where asked. Every byte that is not ours stays: tabs, comments, order, other
 * runtimes, other features. An entry that is there already changes nothing.
 *
 * @throws ExpectedError `DAEMON_JSON_BROKEN`, or `RUNTIME_NAME_TAKEN` where `spark` is the name of something else.
 */
export function addRuntime(
  text: string,
  file: string,
  entry: RuntimeEntry,
  options: { asDefault?: boolean } = {},
): DaemonJsonEdit {
  const plain = withoutMark(text)
  const present = readDaemonJson(plain, file)
  const taken = present.runtimes.get(RUNTIME_NAME)
  if (present.runtimes.has(RUNTIME_NAME) && taken?.path !== entry.path) {
    throw new ExpectedError(
      'RUNTIME_NAME_TAKEN',
      `${file} already has a runtime named ${RUNTIME_NAME}, which is ${taken?.path ?? 'a containerd shim'} and not ${entry.path}`,
      { hint: `Rename or remove it there if it is no longer needed, then install again.` },
    )
  }
  const insertedKeys: JSONPath[] = []
  let edited = plain
  const set = (path: JSONPath, value: unknown) => {
    const before = edited
    edited = setKey(edited, file, path, value)
    const inserted = before === edited ? undefined : outermostMissing(before, file, path)
    if (inserted !== undefined) insertedKeys.push(inserted)
  }
  if (taken === undefined || !isDeepStrictEqual(taken.runtimeArgs, entry.runtimeArgs)) {
    set(['runtimes', RUNTIME_NAME], { path: entry.path, runtimeArgs: [...entry.runtimeArgs] })
  }
  if (options.asDefault === true && present.defaultRuntime !== RUNTIME_NAME) {
    if (present.defaultRuntime === undefined) set(['default-runtime'], RUNTIME_NAME)
    else edited = setKey(edited, file, ['default-runtime'], RUNTIME_NAME)
  }
  return { text: markOf(text) + edited, insertedKeys }
}

/**
 * Takes our keys out of a file that somebody edited after us, where the backup no longer tells what it should be.
 *
 * @param restoreDefault the default runtime before us, for a `default-runtime` that we replaced.
 */
export function removeRuntime(
  text: string,
  file: string,
  ours: { path: string; insertedKeys: readonly JSONPath[]; restoreDefault?: string | undefined },
): string {
  let edited = withoutMark(text)
  const present = readDaemonJson(edited, file)
  if (present.runtimes.get(RUNTIME_NAME)?.path === ours.path) {
    edited = removeKey(edited, ['runtimes', RUNTIME_NAME])
    const left = readDaemonJson(edited, file).runtimes.size
    const madeByUs = ours.insertedKeys.some((key) => key.length === 1 && key[0] === 'runtimes')
    if (left === 0 && madeByUs) edited = removeKey(edited, ['runtimes'])
  }
  if (present.defaultRuntime === RUNTIME_NAME) {
    edited =
      ours.restoreDefault === undefined
        ? removeKey(edited, ['default-runtime'])
        : setKey(edited, file, ['default-runtime'], ours.restoreDefault)
  }
  return markOf(text) + edited
}

/**
 * Refuses a file that editors take and dockerd does not: the next start or reload of Docker would fail on it.
 *
 * @throws ExpectedError `DAEMON_JSON_BROKEN` with the place of the first comment.
 */
export function refuseComments(text: string, file: string): void {
  // Blanks in their place: everything else stays where it was.
  const blanked = stripComments(text, ' ')
  if (blanked === text) return
  let offset = 0
  while (text[offset] === blanked[offset]) offset += 1
  throw broken(file, text, offset, 'dockerd takes no comments, so it would not start with this file')
}

/** Docker takes a file with a byte order mark, JSON parsers do not. */
const BYTE_ORDER_MARK = '\uFEFF'

function markOf(text: string): string {
  return text.startsWith(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK : ''
}

function withoutMark(text: string): string {
  return text.slice(markOf(text).length)
}

/**
 * The file as a daemon must read it once to forget us: without the key `runtimes` it would keep the runtimes it had, and
 * without `default-runtime` its default.
 */
export function computeForgettingText(text: string, file: string, options: { forgetDefault: boolean }): string {
  let edited = withoutMark(text)
  const root = parseObject(edited, file)
  const has = (key: string) => root !== undefined && findNodeAtLocation(root, [key]) !== undefined
  if (!has('runtimes')) edited = setKey(edited, file, ['runtimes'], {})
  if (options.forgetDefault && !has('default-runtime')) edited = setKey(edited, file, ['default-runtime'], 'runc')
  return markOf(text) + edited
}

function outermostMissing(text: string, file: string, path: JSONPath): JSONPath | undefined {
  const root = parseObject(text, file)
  for (let length = 1; length <= path.length; length += 1) {
    const prefix = path.slice(0, length)
    if (root === undefined || findNodeAtLocation(root, prefix) === undefined) return prefix
  }
  return undefined
}

/** Sets one key without touching any byte beside it. jsonc-parser finds the place; its formatter would re-indent siblings. */
function setKey(text: string, file: string, path: JSONPath, value: unknown): string {
  const style = detectStyle(text)
  const root = parseObject(text, file)
  if (
    root === undefined ||
    (root.children?.length === 0 && text.slice(root.offset, root.offset + root.length) === '{}')
  ) {
    const nested = path.reduceRight((inner: unknown, key) => ({ [key]: inner }), value)
    const printed = JSON.stringify(nested, null, style.unit).replaceAll('\n', style.eol)
    if (root !== undefined) return text.slice(0, root.offset) + printed + text.slice(root.offset + root.length)
    return `${printed}${style.eol}`
  }
  const existing = findNodeAtLocation(root, path)
  if (existing !== undefined) {
    const printed = print(value, lineIndent(text, existing.offset), style)
    return text.slice(0, existing.offset) + printed + text.slice(existing.offset + existing.length)
  }
  const missing = outermostMissing(text, file, path) as JSONPath
  const nested = path.slice(missing.length).reduceRight((inner: unknown, key) => ({ [key]: inner }), value)
  const parent = missing.length === 1 ? root : (findNodeAtLocation(root, missing.slice(0, -1)) as Node)
  const [edit] = modify(text, missing, nested, {})
  if (edit === undefined) return text
  const comma = edit.content.startsWith(',') ? ',' : ''
  const key = JSON.stringify(missing.at(-1))
  const first = parent.children?.[0]
  const isOneLine = !text.slice(root.offset, root.offset + root.length).includes('\n')
  let content: string
  if (isOneLine || (first !== undefined && lineOf(text, first.offset) === lineOf(text, parent.offset))) {
    content = `${comma}${comma === '' ? '' : ' '}${key}: ${printInline(nested)}`
  } else {
    const outer = lineIndent(text, parent.offset)
    const inner = first === undefined ? outer + style.unit : lineIndent(text, first.offset)
    content = `${comma}${style.eol}${inner}${key}: ${print(nested, inner, style)}`
    const closesOnSameLine =
      first === undefined && !text.slice(parent.offset, parent.offset + parent.length).includes('\n')
    if (closesOnSameLine) content += style.eol + outer
  }
  return text.slice(0, edit.offset) + content + text.slice(edit.offset)
}

function removeKey(text: string, path: JSONPath): string {
  return applyEdits(text, modify(text, path, undefined, {}))
}

function parseObject(text: string, file: string): Node | undefined {
  if (text.trim() === '') return undefined
  const errors: ParseError[] = []
  const root = parseTree(text, errors, { disallowComments: false, allowTrailingComma: false })
  const first = errors[0]
  if (first !== undefined) throw broken(file, text, first.offset, jsonProblem(first.error))
  if (root?.type !== 'object') throw broken(file, text, root?.offset ?? 0, 'it should hold one JSON object')
  for (const node of [root, findNodeAtLocation(root, ['runtimes'])]) refuseRepeatedKey(node, file, text)
  return root
}

/** Of two equal keys Docker takes the last and an editor the first: whatever we wrote could be without effect. */
function refuseRepeatedKey(node: Node | undefined, file: string, text: string): void {
  const seen = new Set<unknown>()
  for (const property of node?.type === 'object' ? (node.children ?? []) : []) {
    const key = property.children?.[0]?.value
    if (seen.has(key)) throw broken(file, text, property.offset, `the key "${key}" stands there twice`)
    seen.add(key)
  }
}

function broken(file: string, text: string, offset: number, problem: string): ExpectedError {
  const before = text.slice(0, offset)
  const line = lineOf(text, offset)
  const column = offset - (before.lastIndexOf('\n') + 1) + 1
  return new ExpectedError('DAEMON_JSON_BROKEN', `${file} is not valid, line ${line}, column ${column}: ${problem}`, {
    hint: 'Nothing was changed. Mend the file, then try again.',
  })
}

function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}

/** The white space that the line of `offset` begins with. */
function lineIndent(text: string, offset: number): string {
  const start = text.lastIndexOf('\n', offset - 1) + 1
  return /^[ \t]*/.exec(text.slice(start))?.[0] ?? ''
}

interface Style {
  readonly unit: string
  readonly eol: string
}

function detectStyle(text: string): Style {
  const indent = /\n([ \t]+)"/.exec(text)?.[1] ?? '  '
  return { unit: indent.startsWith('\t') ? '\t' : indent, eol: text.includes('\r\n') ? '\r\n' : '\n' }
}

function print(value: unknown, indent: string, style: Style): string {
  return JSON.stringify(value, null, style.unit).replaceAll('\n', style.eol + indent)
}

/** One line with the spaces that people put there: `{ "path": "/x", "runtimeArgs": [] }`. */
function printInline(value: unknown): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return JSON.stringify(value)
  const entries = Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}: ${printInline(inner)}`)
  return `{ ${entries.join(', ')} }`
}
