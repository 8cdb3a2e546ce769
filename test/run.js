// Runs everything there is to run and ends with one plain line: "N passed, N failed, N skipped".
//   node test/run.js [static|native|unit|cli|engine|vm …]     no argument = all of them
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { startVitest } from 'vitest/node'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const suites = ['static', 'native', 'unit', 'cli', 'engine', 'vm']
const chosen = process.argv.slice(2)
const unknown = chosen.filter((name) => !suites.includes(name))
if (unknown.length > 0) {
  console.error(`test: unknown suite ${unknown.join(', ')}; there are ${suites.join(', ')}`)
  process.exit(2)
}
const wants = (name) => chosen.length === 0 || chosen.includes(name)

const total = { passed: 0, failed: 0, skipped: 0 }
const failures = []
const skips = []

function heading(text) {
  console.log(`\n== ${text}`)
}

/** A check that passes or fails as a whole. */
function check(name, command, args) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8' })
  if (result.status === 0) {
    total.passed += 1
    console.log(`ok - ${name}`)
    return
  }
  total.failed += 1
  failures.push(name)
  console.log(`not ok - ${name}\n${result.stdout ?? ''}${result.stderr ?? ''}${result.error ?? ''}`)
}

/** Counts the TAP that `make check` prints; a build that breaks is one failure. */
function native() {
  const jobs = spawnSync('nproc', { encoding: 'utf8' }).stdout?.trim() || '2'
  const build = spawnSync('make', ['-s', '-C', 'native', `-j${jobs}`, 'tests'], { cwd: root, encoding: 'utf8' })
  if (build.status !== 0) {
    total.failed += 1
    failures.push('native tests build')
    console.log(`not ok - native tests build\n${build.stdout}${build.stderr}`)
    return
  }
  addCounted(
    'native',
    spawnSync('make', ['-s', '-C', 'native', 'check'], { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 }),
  )
}

/** Adds the TAP that a program printed, and the count of it that it ended with. */
function addCounted(suite, run) {
  for (const line of run.stdout.split('\n')) {
    const skip = /^ok .*?- (.*) # SKIP (.*)$/.exec(line)
    if (skip) skips.push(`${skip[1]}: ${skip[2]}`)
    if (line.startsWith('not ok')) failures.push(`${suite}: ${line.replace(/^not ok \d* ?- ?/, '')}`)
  }
  const count = /^(?:native: )?(\d+) passed, (\d+) failed, (\d+) skipped$/m.exec(run.stdout)
  console.log(run.stdout.trimEnd())
  if (run.stderr !== '') console.log(run.stderr.trimEnd())
  if (!count) {
    total.failed += 1
    failures.push(`${suite} tests ended without a count`)
    return
  }
  total.passed += Number(count[1])
  total.failed += Number(count[2])
  total.skipped += Number(count[3])
}

/** A suite that is skipped as a whole has no note; it names its reason: "… (skipped: reason)". */
function reasonInName(name) {
  return /\(skipped: (.*?)\)/.exec(name)?.[1] ?? 'no reason given'
}

/** Collects every test's end: vitest's own summary has neither the reasons of skips nor one count for all projects. */
class Collector {
  onTestRunEnd(modules, unhandledErrors) {
    for (const error of unhandledErrors) {
      total.failed += 1
      failures.push(`outside any test: ${error.message}`)
    }
    for (const module of modules) {
      const file = path.relative(root, module.moduleId)
      if (module.errors().length > 0) {
        total.failed += 1
        failures.push(`${file}: ${module.errors()[0].message}`)
        // Its tests never began; they are not skipped for a reason of their own.
        continue
      }
      for (const test of module.children.allTests()) {
        const { state, note } = test.result()
        if (state === 'passed') total.passed += 1
        else if (state === 'skipped') {
          total.skipped += 1
          skips.push(`${file} > ${test.fullName}: ${note ?? reasonInName(test.fullName)}`)
        } else {
          total.failed += 1
          failures.push(`${file} > ${test.fullName}`)
        }
      }
    }
  }
}

if (wants('static')) {
  heading('static checks')
  check('Biome finds nothing to format or to lint', 'node_modules/.bin/biome', ['check', '--error-on-warnings', '.'])
  check('TypeScript accepts sources and tests', 'node_modules/.bin/tsc', ['-p', 'tsconfig.test.json'])
  check('knip finds nothing unused', 'node_modules/.bin/knip', [])
}
if (wants('native')) {
  heading('native parts, under AddressSanitizer and UndefinedBehaviorSanitizer')
  // A new machine gives out no huge pages; the simulator's tests need some.
  const { raiseOvercommit, restoreSetting } = await import('../dist/host/huge-pages.js')
  let changed
  try {
    changed = raiseOvercommit(512)
  } catch {
    // Not root, or a read-only /proc/sys: the tests that need them are skipped by name.
  }
  native()
  if (changed !== undefined) restoreSetting(changed)
}
for (const project of ['unit', 'cli', 'engine'].filter(wants)) {
  heading(`${project} tests`)
  const vitest = await startVitest('test', [], {
    root,
    run: true,
    watch: false,
    project: [project],
    passWithNoTests: false,
    reporters: ['verbose', new Collector()],
  })
  await vitest?.close()
}

if (wants('vm')) {
  heading('virtual machines: pure cgroup v2, pages that nobody is charged for, both processors')
  const run = spawnSync(process.execPath, ['test/vm/run.js'], { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 })
  addCounted('vm', run)
}

if (skips.length > 0) console.log(`\nSkipped, and why:\n${skips.map((line) => `  ${line}`).join('\n')}`)
if (failures.length > 0) console.log(`\nFailed:\n${failures.map((line) => `  ${line}`).join('\n')}`)
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1)
