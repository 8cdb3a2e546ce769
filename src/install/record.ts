import { readFileSync } from 'node:fs'
import * as v from 'valibot'
import { ExpectedError } from '../errors.js'
import { makeDirectories, writeFileAtomically } from './file-state.js'

const recordVersion = 1

const jsonPath = v.array(v.union([v.string(), v.number()]))

const editedUndoSchema = v.variant('kind', [
  v.object({ kind: v.literal('remove') }),
  v.object({ kind: v.literal('keep') }),
  v.object({
    kind: v.literal('daemon-json'),
    runtimePath: v.string(),
    insertedKeys: v.array(jsonPath),
    replacedDefault: v.optional(v.string()),
  }),
])

const changeSchema = v.object({
  what: v.string(),
  path: v.string(),
  /** Null where there was no file. */
  beforeSha256: v.nullable(v.string()),
  afterSha256: v.string(),
  backup: v.nullable(v.string()),
  ifEdited: editedUndoSchema,
})

const partSchema = v.object({
  /** False while its changes are being made: after a crash, `uninstall` undoes what of them it finds. */
  complete: v.boolean(),
  changes: v.array(changeSchema),
  /** Directories that were not there before, outermost first. */
  directories: v.array(v.string()),
})

const guardSchema = v.variant('kind', [
  v.object({ kind: v.literal('systemd'), unit: v.string() }),
  v.object({ kind: v.literal('process'), pid: v.number(), startTicks: v.number(), bootId: v.string() }),
])

const recordSchema = v.object({
  recordVersion: v.literal(recordVersion),
  generator: v.string(),
  prefix: v.string(),
  /** The OCI runtime that containers were started with before us. */
  nextRuntime: v.string(),
  guard: v.nullable(guardSchema),
  /** Programs, policy, plan and service; gone with the last engine. */
  shared: partSchema,
  engines: v.object({
    docker: v.optional(
      v.intersect([partSchema, v.object({ daemonJson: v.string(), dockerHost: v.nullable(v.string()) })]),
    ),
    podman: v.optional(partSchema),
  }),
})

/** What `install` changed and where: `<stateDir>/install.json`. Written before the changes are made. */
export type InstallRecord = v.InferOutput<typeof recordSchema>

export type RecordedChange = v.InferOutput<typeof changeSchema>

/** What one part of the installation (an engine, or what engines share) changed. */
export type RecordedPart = v.InferOutput<typeof partSchema>

export type RecordedGuard = v.InferOutput<typeof guardSchema>

/**
 * Reads the record.
 *
 * @returns undefined where nothing is installed.
 * @throws ExpectedError `RECORD_BROKEN` for a file that is no record: undoing by guesswork would be worse than stopping.
 */
export function readInstallRecord(file: string): InstallRecord | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = undefined
  }
  const result = v.safeParse(recordSchema, value)
  if (result.success) return result.output
  throw new ExpectedError('RECORD_BROKEN', `${file} is not a record of an installation that this spark-run can read`, {
    hint: 'It tells what was changed on this machine. Put it back from a backup, or undo by hand as docs/install.md describes and remove it.',
  })
}

export function writeInstallRecord(file: string, record: InstallRecord): void {
  makeDirectories(file.slice(0, file.lastIndexOf('/')))
  const content = Buffer.from(`${JSON.stringify(record, null, 2)}\n`)
  writeFileAtomically(file, { content, mode: 0o644, uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 })
}

/** A record of nothing yet. */
export function newInstallRecord(prefix: string): InstallRecord {
  const shared = { complete: false, changes: [], directories: [] }
  return { recordVersion, generator: '', prefix, nextRuntime: '', guard: null, shared, engines: {} }
}
