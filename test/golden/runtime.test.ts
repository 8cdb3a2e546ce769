import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { type CgroupLayout, jsonTokens, layOut, makeRig, nativeMissing } from './runtime-rig.js'

/**
 * One directory of test/golden/cases/runtime: config.json goes in, expected.json must come out (@ROOT@ = the rig's
 * directory). `UPDATE_GOLDEN=1` writes expected.json anew; read the difference before you commit it.
 */
interface RuntimeCase {
  /** The test's name, a sentence. */
  readonly what: string
  readonly cgroup?: CgroupLayout
  readonly plan?: Record<string, unknown>
  /** Content of the image's own /etc/ld.so.preload. */
  readonly preload?: string
  /** precreate reads stdin and writes stdout; else `spark-runtime create`. */
  readonly carrier?: 'create' | 'precreate' | 'precreate-gpu-only'
  /** The text is passed on byte for byte. */
  readonly untouched?: true
  /** Sentences of the `warning` events that must be written. */
  readonly warnings?: readonly string[]
}

const casesDir = fileURLToPath(new URL('cases/runtime/', import.meta.url))
const missing = nativeMissing()

describe.skipIf(missing !== undefined)(
  `config.json in, config.json out${missing ? ` (skipped: ${missing})` : ''}`,
  () => {
    for (const name of readdirSync(casesDir).sort()) {
      const read = (file: string) => readFileSync(path.join(casesDir, name, file), 'utf8')
      const given: RuntimeCase = JSON.parse(read('case.json'))
      test(`${name}: ${given.what}`, async () => {
        const rig = await makeRig({
          ...(given.cgroup === undefined ? {} : { cgroup: given.cgroup }),
          ...(given.plan === undefined ? {} : { plan: given.plan }),
        })
        try {
          const config = read('config.json')
          const bundle = rig.writeBundle(config, given.preload)
          const before = readFileSync(path.join(bundle, 'config.json'), 'utf8')
          const carrier = given.carrier ?? 'create'
          const outcome =
            carrier === 'create'
              ? rig.runtime(['--root', 'R', 'create', '--bundle', bundle, 'c1'])
              : rig.hook(['precreate', ...(carrier === 'precreate' ? [] : ['--gpu-only'])], before)
          expect(outcome.stderr).toBe('')
          expect(outcome.status).toBe(0)
          if (carrier === 'create') {
            expect(outcome.nextArgs).toEqual(['--root', 'R', 'create', '--bundle', bundle, 'c1'])
            expect(outcome.stdout).toBe('')
          }
          const after = carrier === 'create' ? readFileSync(path.join(bundle, 'config.json'), 'utf8') : outcome.stdout
          const warnings = rig.events().map(({ type, sentence }) => `${type}: ${sentence}`)
          expect(warnings).toEqual((given.warnings ?? []).map((sentence) => `warning: ${sentence}`))
          if (given.untouched) return expect(after).toBe(before)
          const portable = after.replaceAll(rig.dir, '@ROOT@')
          if (process.env.UPDATE_GOLDEN === '1') {
            writeFileSync(path.join(casesDir, name, 'expected.json'), layOut(jsonTokens(portable)))
          }
          expect(jsonTokens(portable)).toEqual(jsonTokens(read('expected.json')))
        } finally {
          rig.close()
        }
      })
    }
  },
)
