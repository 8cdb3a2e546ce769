import { readFileSync } from 'node:fs'
import * as v from 'valibot'
import { ExpectedError } from '../errors.js'
import { pathOf, shownValue } from './schema-problem.js'

/** The only version of plan.json that this package writes and reads. */
export const PLAN_VERSION = 1

const BYTES = 'whole bytes'
const ASSIGNMENT = 'NAME=value'
const OUR_WORDS = new Set([BYTES, ASSIGNMENT])
const bytes = v.pipe(v.number(BYTES), v.safeInteger(BYTES), v.minValue(0, BYTES))

const wishSchema = v.object({ env: v.string(), unitBytes: bytes })

const envGroupSchema = v.object({
  engine: v.optional(v.string()),
  unlessEnv: v.array(v.string()),
  env: v.array(v.pipe(v.string(), v.regex(/^[^=]+=/, ASSIGNMENT))),
})

const mountSchema = v.object({ hostPath: v.string(), containerPath: v.string(), options: v.array(v.string()) })

const hookSchema = v.object({
  hookName: v.string(),
  path: v.string(),
  args: v.array(v.string()),
  env: v.array(v.string()),
  timeout: v.pipe(v.number(), v.integer(), v.minValue(1)),
})

const planSchema = v.object({
  planVersion: v.literal(PLAN_VERSION),
  generator: v.string(),
  nextRuntime: v.string(),
  paths: v.object({
    libDir: v.string(),
    runDir: v.string(),
    logDir: v.exactOptional(v.string()),
    procDir: v.exactOptional(v.string()),
  }),
  host: v.object({ reserveBytes: bytes, withholdBytes: bytes }),
  budget: v.object({
    defaultBytes: v.nullable(bytes),
    maxBytes: v.nullable(bytes),
    minBytes: bytes,
    wishes: v.array(wishSchema),
  }),
  onGuardMissing: v.picklist(['refuse', 'warn']),
  // A plan from before this key was there says nothing, and nothing is what it meant.
  onForeign: v.optional(v.picklist(['nothing', 'kill-largest']), 'nothing'),
  cgroup: v.object({ limitMemory: v.boolean(), oomScoreAdj: v.pipe(v.number(), v.integer()) }),
  containerEdits: v.object({
    env: v.array(envGroupSchema),
    mounts: v.array(mountSchema),
    preload: v.nullable(v.string()),
    hooks: v.array(hookSchema),
  }),
})

/** The complete list of edits for one container, as data: docs/formats.md section 3. All sizes are bytes. */
export type Plan = v.InferOutput<typeof planSchema>

/** A variable of the container that asks for a budget; a bare number counts in `unitBytes`. */
export type Wish = v.InferOutput<typeof wishSchema>

/** Variables set together, or not at all where the container has one of `unlessEnv`. */
export type EnvGroup = v.InferOutput<typeof envGroupSchema>

export type PlanMount = v.InferOutput<typeof mountSchema>

export type PlanHook = v.InferOutput<typeof hookSchema>

/**
 * Checks a plan that was read from somewhere. Unknown keys are dropped.
 *
 * @param source names the plan in errors, usually its file.
 * @throws ExpectedError `PLAN_VERSION` for a plan of another version, `PLAN_INVALID` for anything that is not a plan.
 */
export function parsePlan(value: unknown, source: string): Plan {
  const version = isObject(value) ? value.planVersion : undefined
  if (version !== undefined && version !== PLAN_VERSION) {
    throw new ExpectedError(
      'PLAN_VERSION',
      `${source} is a plan of version ${JSON.stringify(version)}, this spark-run reads version ${PLAN_VERSION}`,
      { hint: REWRITE_HINT },
    )
  }
  const result = v.safeParse(planSchema, value)
  if (result.success) return result.output
  throw new ExpectedError('PLAN_INVALID', `${source} is not a plan: ${problem(result.issues[0])}`, {
    hint: REWRITE_HINT,
  })
}

function problem(issue: v.BaseIssue<unknown>): string {
  const where = pathOf(issue)
  if (where === '') return 'it is no object'
  if (issue.received === 'undefined') return `${where} is missing`
  return `${where} should be ${OUR_WORDS.has(issue.message) ? issue.message : issue.expected}, is ${shownValue(issue.input)}`
}

/**
 * Reads a plan file.
 *
 * @throws ExpectedError `PLAN_MISSING` where there is none, `PLAN_INVALID` or `PLAN_VERSION` as {@link parsePlan}.
 */
export function readPlan(file: string): Plan {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    throw new ExpectedError(
      missing ? 'PLAN_MISSING' : 'PLAN_UNREADABLE',
      missing
        ? `there is no plan at ${file}: spark-run is not installed here`
        : `cannot read the plan ${file}: ${cause}`,
      { hint: REWRITE_HINT, cause },
    )
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new ExpectedError('PLAN_INVALID', `${file} is not a plan: it is broken JSON`, { hint: REWRITE_HINT, cause })
  }
  return parsePlan(value, file)
}

const REWRITE_HINT = 'Write it anew with: spark-run install docker'

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
