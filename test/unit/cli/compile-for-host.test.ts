import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { compileForHost, hostSizesInForce } from '../../../src/cli/compile-for-host.js'
import { readMeminfo } from '../../../src/host/meminfo.js'
import { type HostPaths, hostPaths } from '../../../src/host/paths.js'
import { thrown } from '../../support/thrown.js'
import { samplePlan } from '../plan/sample-plan.js'

const MIB = 1024 ** 2
let paths: HostPaths
beforeEach(() => {
  paths = hostPaths(mkdtempSync(path.join(tmpdir(), 'spark-run-compile-')))
  mkdirSync(paths.etcDir, { recursive: true })
})
afterEach(() => rmSync(paths.prefix, { recursive: true }))

const write = (file: string, value: unknown) => writeFileSync(file, JSON.stringify(value))

describe('the plan this machine would get', () => {
  test('comes from its memory and its policy', () => {
    write(paths.policyFile, { reserve: '256m' })
    const { plan, memTotalBytes } = compileForHost(paths, '0.1.0')
    expect(memTotalBytes).toBe(readMeminfo().totalBytes)
    expect(plan.host.reserveBytes).toBe(256 * MIB)
    expect(plan.paths.libDir).toBe(paths.libDir)
  })
  test('keeps the next runtime of an installed plan', () => {
    write(paths.planFile, samplePlan({ nextRuntime: '/opt/custom/runc' }))
    expect(compileForHost(paths, '0.1.0').plan.nextRuntime).toBe('/opt/custom/runc')
  })
  test('another policy file can be tried without installing it', () => {
    const other = path.join(paths.etcDir, 'other.json')
    write(other, { reserve: '300m' })
    expect(compileForHost(paths, '0.1.0', other).plan.host.reserveBytes).toBe(300 * MIB)
  })
})

describe('the reserve in force', () => {
  test('is the installed plan, not a policy edited since', () => {
    write(paths.planFile, samplePlan({ reserve: '5g' }))
    write(paths.policyFile, { reserve: '256m' })
    expect(hostSizesInForce(paths, '0.1.0').reserveBytes).toBe(5 * 1024 * MIB)
  })
  test('is what the policy comes to where nothing is installed', () => {
    write(paths.policyFile, { reserve: '256m' })
    expect(hostSizesInForce(paths, '0.1.0').reserveBytes).toBe(256 * MIB)
  })
  test('a broken installed plan is said, not replaced by a guess', () => {
    writeFileSync(paths.planFile, '{')
    expect(thrown(() => hostSizesInForce(paths, '0.1.0')).code).toBe('PLAN_INVALID')
  })
})
