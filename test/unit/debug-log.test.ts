import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { debugWanted } from '../../src/debug-log.js'
import { packageDir } from '../../src/host/package-files.js'

const built = path.join(packageDir, 'dist/debug-log.js')

function lineUnder(environment: NodeJS.ProcessEnv) {
  const program = `const {debug} = await import(${JSON.stringify(built)}); await debug('asked the engine', {engine: 'docker', verb: 'info'}); process.exit(0)`
  return spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', env: environment })
}

describe('the debug log', () => {
  test('is wanted by SPARK_RUN_DEBUG=1 and nothing else', () => {
    expect(debugWanted({ SPARK_RUN_DEBUG: '1' })).toBe(true)
    expect(debugWanted({ SPARK_RUN_DEBUG: '0' })).toBe(false)
    expect(debugWanted({})).toBe(false)
  })

  test('writes one JSON line to stderr before the process ends, and nothing to stdout', () => {
    const { stdout, stderr } = lineUnder({ ...process.env, SPARK_RUN_DEBUG: '1' })
    expect(stdout).toBe('')
    expect(JSON.parse(stderr)).toMatchObject({
      name: 'spark-run',
      msg: 'asked the engine',
      engine: 'docker',
      verb: 'info',
    })
  })

  test('writes nothing unless asked', () => {
    const { stdout, stderr } = lineUnder({ ...process.env, SPARK_RUN_DEBUG: '' })
    expect(stdout + stderr).toBe('')
  })
})
