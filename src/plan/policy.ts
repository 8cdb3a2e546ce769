import { readFileSync } from 'node:fs'
import path from 'node:path'
import { type ParseError, parse } from 'jsonc-parser'
import * as v from 'valibot'
import { ExpectedError } from '../errors.js'
import { jsonProblem } from '../json-problem.js'
import { pathOf, shownValue } from './schema-problem.js'
import { parseSize } from './size.js'

/** A size as written in the policy: a text such as `40g` or `30%`, or whole bytes. Resolved when the plan is compiled. */
type SizeSetting = string | number

/** What happens to a container that would start while no guard runs: refused, or started with a warning. */
type OnGuardMissing = 'refuse' | 'warn'

/** What the guard does where memory runs out and no container is guilty: nothing, or the largest container dies for the host. */
type OnForeign = 'nothing' | 'kill-largest'

/** What the owner of the machine decided: docs/formats.md section 2. */
export interface Policy {
  /** MemAvailable that the host keeps; null = {@link defaultReserveBytes}. A percentage is of MemTotal. */
  readonly reserve: SizeSetting | null
  /** Memory to act as if it did not exist. A percentage is of MemTotal. */
  readonly withhold: SizeSetting
  readonly budget: {
    /** `left` = whatever the others and the reserve leave. */
    readonly default: 'left' | SizeSetting
    readonly max: SizeSetting | null
    readonly min: SizeSetting
  }
  readonly onGuardMissing: OnGuardMissing
  readonly onForeign: OnForeign
  /** Absolute path of the OCI runtime that really starts containers; null = the one found on this machine. */
  readonly nextRuntime: string | null
  readonly cgroup: { readonly limitMemory: boolean; readonly oomScoreAdj: number }
  readonly shim: boolean
  readonly knobs: Readonly<Record<KnobName, boolean>>
}

/** Engines whose own variables the policy can leave alone. */
export type KnobName = 'max' | 'pytorch' | 'jax' | 'vllm'

/** What holds where the policy file says nothing. */
export const defaultPolicy: Policy = {
  reserve: null,
  withhold: 0,
  budget: { default: 'left', max: null, min: '256m' },
  onGuardMissing: 'refuse',
  onForeign: 'nothing',
  nextRuntime: null,
  cgroup: { limitMemory: true, oomScoreAdj: 500 },
  shim: true,
  knobs: { max: true, pytorch: true, jax: true, vllm: true },
}

// The message of each schema is what the error sentence says after "allowed:".
const SIZE_ALLOWED = 'a size such as "40g", "512m" or "30%"'
const OOM_ALLOWED = 'a whole number from 0 to 1000'
const RUNTIME_ALLOWED = 'an absolute path such as "/usr/bin/runc"'

const yesNo = () => v.exactOptional(v.boolean('true or false'))

const size = (options: { allowZero?: boolean; word?: string } = {}) => {
  const allowed = options.word === undefined ? SIZE_ALLOWED : `"${options.word}" or ${SIZE_ALLOWED}`
  const isSize = (setting: SizeSetting) => {
    try {
      // Any base will do here: what a percentage is of is known when the plan is compiled.
      parseSize(String(setting), { allowZero: options.allowZero ?? false, percentOfBytes: Number.MAX_SAFE_INTEGER })
      return true
    } catch {
      return setting === options.word
    }
  }
  return v.pipe(v.union([v.string(), v.number()], allowed), v.check(isSize, allowed))
}

const isPlainObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** An object without unknown keys; its message lists the known ones. */
const section = <const Entries extends v.ObjectEntries>(entries: Entries) => {
  const keys = Object.keys(entries).join(', ')
  return v.pipe(v.custom<object>(isPlainObject, `an object with the keys ${keys}`), v.strictObject(entries, keys))
}

const policySchema = section({
  reserve: v.exactOptional(size()),
  withhold: v.exactOptional(size({ allowZero: true })),
  budget: v.exactOptional(
    section({
      default: v.exactOptional(size({ word: 'left' })),
      max: v.exactOptional(size()),
      min: v.exactOptional(size()),
    }),
  ),
  onGuardMissing: v.exactOptional(v.picklist(['refuse', 'warn'], '"refuse" or "warn"')),
  onForeign: v.exactOptional(v.picklist(['nothing', 'kill-largest'], '"nothing" or "kill-largest"')),
  nextRuntime: v.exactOptional(v.pipe(v.string(RUNTIME_ALLOWED), v.check(path.isAbsolute, RUNTIME_ALLOWED))),
  cgroup: v.exactOptional(
    section({
      limitMemory: yesNo(),
      oomScoreAdj: v.exactOptional(
        v.pipe(
          v.number(OOM_ALLOWED),
          v.integer(OOM_ALLOWED),
          v.minValue(0, OOM_ALLOWED),
          v.maxValue(1000, OOM_ALLOWED),
        ),
      ),
    }),
  ),
  shim: yesNo(),
  knobs: v.exactOptional(section({ max: yesNo(), pytorch: yesNo(), jax: yesNo(), vllm: yesNo() })),
})

/**
 * Checks a policy and fills in the defaults.
 *
 * @param source names the policy in errors, usually its file.
 * @throws ExpectedError `POLICY_INVALID`: one sentence with source, key, value and what is allowed.
 */
export function parsePolicy(value: unknown, source: string): Policy {
  const result = v.safeParse(policySchema, value)
  if (!result.success) throw invalid(source, problem(result.issues[0]))
  const { reserve = null, nextRuntime = null, budget, cgroup, knobs, ...rest } = result.output
  return {
    ...defaultPolicy,
    ...rest,
    reserve,
    nextRuntime,
    budget: { ...defaultPolicy.budget, ...budget },
    cgroup: { ...defaultPolicy.cgroup, ...cgroup },
    knobs: { ...defaultPolicy.knobs, ...knobs },
  }
}

/**
 * Reads a policy file: JSON, comments allowed. A missing or empty file means the defaults.
 *
 * @throws ExpectedError `POLICY_INVALID` as {@link parsePolicy}, and for broken JSON with line and column.
 */
export function readPolicy(file: string): Policy {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return defaultPolicy
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new ExpectedError('POLICY_UNREADABLE', `cannot read the policy ${file}: ${why}`, { cause })
  }
  if (text.trim() === '') return defaultPolicy
  const errors: ParseError[] = []
  const value: unknown = parse(text, errors, { allowTrailingComma: true })
  const [first] = errors
  if (first !== undefined) {
    const before = text.slice(0, first.offset).split('\n')
    const place = `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`
    throw invalid(file, `broken JSON at ${place}: ${jsonProblem(first.error)}`)
  }
  return parsePolicy(value, file)
}

function problem(issue: v.BaseIssue<unknown>): string {
  const where = pathOf(issue)
  if (issue.type === 'strict_object') {
    const parent = where.includes('.') ? ` in ${where.slice(0, where.lastIndexOf('.'))}` : ''
    return `${where} is not a key of the policy, allowed${parent}: ${issue.message}`
  }
  return `${where === '' ? 'the policy' : where} is ${shownValue(issue.input)}, allowed: ${issue.message}`
}

function invalid(source: string, what: string): ExpectedError {
  return new ExpectedError('POLICY_INVALID', `${source}: ${what}`, {
    hint: 'docs/formats.md, section 2, describes every key.',
  })
}
