import { expect, test } from 'vitest'
import { ExpectedError } from '../../../src/errors.js'
import { isWrappedForm, parseInvocation } from '../../../src/launch/own-options.js'

test('what follows the engine is never looked at', () => {
  const engineArgs = ['--budget', 'x', '--', '', '--help', '-\n', 'run', '--', '--quiet']
  expect(parseInvocation(['--budget', '40g', 'docker', ...engineArgs])).toEqual({
    options: { budget: '40g', dryRun: false, quiet: false },
    engine: 'docker',
    engineArgs,
  })
})

test('options are taken with a space or an equals sign, in any order, up to -- or the engine', () => {
  const argv = ['--priority=-5', '--budget=40g', '--dry-run', '--reserve', '8g', '--quiet', '--', 'podman', 'run', 'i']
  expect(parseInvocation(argv)).toEqual({
    options: { budget: '40g', reserve: '8g', priority: -5, dryRun: true, quiet: true },
    engine: 'podman',
    engineArgs: ['run', 'i'],
  })
  expect(parseInvocation(['--', 'docker', 'ps']).engineArgs).toEqual(['ps'])
})

test('the environment makes it quiet, too', () => {
  expect(parseInvocation(['docker'], true).options.quiet).toBe(true)
})

test.each([
  [
    ['--budget', '1g', '--budget', '2g', 'docker'],
    '--budget was given twice: give it once, spark-run would not know which one you mean',
  ],
  [
    ['--budget=1g', '--budget=1g', 'docker'],
    '--budget was given twice: give it once, spark-run would not know which one you mean',
  ],
  [
    ['--quiet', '--quiet', 'docker'],
    '--quiet was given twice: give it once, spark-run would not know which one you mean',
  ],
  [
    ['--budgte', '1g', 'docker'],
    '--budgte is not an option of spark-run: before docker or podman it takes --budget SIZE, --reserve SIZE, --priority NUMBER, --dry-run and --quiet',
  ],
  [
    ['-b', '1g', 'docker'],
    '-b is not an option of spark-run: before docker or podman it takes --budget SIZE, --reserve SIZE, --priority NUMBER, --dry-run and --quiet',
  ],
  [['--budget'], '--budget lacks its value: write --budget 40g'],
  [['--budget', 'docker', 'run'], '--budget lacks its value: write --budget 40g'],
  [['--budget=', 'docker', 'run'], '--budget lacks its value: write --budget 40g'],
  [['--dry-run=yes', 'docker'], '--dry-run takes no value: write --dry-run alone'],
  [
    ['--budget', '40g'],
    'docker or podman is expected after --budget but nothing follows: write spark-run --budget 40g docker run IMAGE',
  ],
  [
    ['--quiet', 'status'],
    'docker or podman is expected after --quiet but "status" follows: write spark-run --quiet docker run IMAGE',
  ],
  [['--', 'ls'], 'docker or podman is expected but "ls" follows: write spark-run docker run IMAGE'],
  [
    ['--priority', 'high', 'docker'],
    '--priority high is not a whole number from -1000 to 1000: the container with the lowest dies first, the default is 0',
  ],
  [
    ['--priority', '1001', 'docker'],
    '--priority 1001 is not a whole number from -1000 to 1000: the container with the lowest dies first, the default is 0',
  ],
])('%j is refused in one sentence', (argv, sentence) => {
  expect(() => parseInvocation(argv)).toThrow(expect.objectContaining({ message: sentence, exitCode: 2 }))
  expect(() => parseInvocation(argv)).toThrow(ExpectedError)
})

test('only engines and our options are the wrapped form', () => {
  for (const argv of [['docker'], ['podman', 'ps'], ['--budget', '1g'], ['--nonsense'], ['--', 'docker']]) {
    expect(isWrappedForm(argv)).toBe(true)
  }
  for (const argv of [[], ['status'], ['--help'], ['-h'], ['--version'], ['dockerd']])
    expect(isWrappedForm(argv)).toBe(false)
})
