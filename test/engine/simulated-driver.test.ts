import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { packageDir } from '../../src/host/package-files.js'
import { prepareMaxRoot } from '../../src/images/max-root.js'
import { type CudaMajor, cudaRuntime } from '../support/cuda-runtime.js'

const MIB = 1024 ** 2
const BUDGET = 256 * MIB
const arch = process.arch === 'arm64' ? 'aarch64' : 'x86_64'
const built = path.join(packageDir, 'native/build', arch)
const program = (name: string) => path.join(packageDir, 'test/engine/programs', name)

let work: string
beforeEach(() => {
  work = mkdtempSync(path.join(tmpdir(), 'simulated-driver-'))
})
afterEach(() => rmSync(work, { recursive: true, force: true }))

interface On {
  readonly budgetBytes?: number
  readonly machine?: string
  readonly environment?: Record<string, string>
}

/** Runs a program on a simulated machine of its own, under the shim if it gets a budget, and reads the JSON that it prints. */
function run<Talk>(command: readonly string[], { budgetBytes, machine = '1g', environment = {} }: On): Talk {
  const ledger = path.join(work, 'ledger')
  const shim: Record<string, string> = {}
  if (budgetBytes !== undefined) {
    const made = spawnSync(path.join(built, 'spark-hook'), [
      'ledger',
      '--file',
      ledger,
      '--budget-bytes',
      `${budgetBytes}`,
    ])
    expect(made.status).toBe(0)
    shim.SPARK_RUN_LEDGER = ledger
    shim.LD_PRELOAD = path.join(built, 'libspark-shim.so')
  }
  const { status, stdout, stderr } = spawnSync(command[0] as string, command.slice(1), {
    encoding: 'utf8',
    timeout: 60_000,
    env: {
      ...process.env,
      LD_LIBRARY_PATH: path.join(built, 'sim'),
      SPARK_SIM_TOTAL: machine,
      SPARK_SIM_PAGES: 'anonymous',
      ...environment,
      ...shim,
    },
  })
  expect(status, stderr).toBe(0)
  return JSON.parse(stdout) as Talk
}

describe("PyTorch's allocators, replayed", () => {
  interface Talk {
    readonly totalBytes: number
    readonly freeBytes: readonly number[]
    readonly heldBytes: readonly number[]
    readonly right: boolean
  }
  const largestBlock = 20 * MIB

  it.each(['caching', 'expandable', 'async'])(
    '%s: sees the budget, fills it twice, is refused cleanly and goes on',
    (allocator) => {
      const talk = run<Talk>(['python3', program('torch_allocator.py'), allocator], { budgetBytes: BUDGET })
      expect(talk.totalBytes).toBe(BUDGET)
      expect(talk.heldBytes[0]).toBeLessThanOrEqual(BUDGET)
      expect(talk.heldBytes[0]).toBeGreaterThan(BUDGET - 2 * largestBlock)
      expect(talk.heldBytes[1]).toBe(talk.heldBytes[0])
      expect(talk.freeBytes[1]).toBeLessThan(largestBlock)
      expect(talk.freeBytes[2]).toBe(talk.freeBytes[0])
      expect(talk.right).toBe(true)
    },
  )

  it.each(['caching', 'expandable', 'async'])('%s: without the shim it fills the machine', (allocator) => {
    const talk = run<Talk>(['python3', program('torch_allocator.py'), allocator], {})
    expect(talk.totalBytes).toBe(1024 * MIB)
    expect(talk.heldBytes[0]).toBeGreaterThan(1024 * MIB - largestBlock)
  })
})

/* The runtime library refuses to work on a driver that does not prove by a keyed digest to be NVIDIA's own, so it does not get beyond
   finding its functions here; test/gpu/run.sh runs the same program on a real driver. */
describe("NVIDIA's runtime library", () => {
  interface Talk {
    readonly functions: Record<string, { readonly shim: number; readonly driver: number }>
  }
  const asked = ['cuMemGetInfo_v2', 'cuDeviceTotalMem_v2', 'cuMemAlloc_v2', 'cuMemFree_v2', 'cuMemAllocAsync']
  const linked: readonly [CudaMajor, string][] = [
    [12, 'shared'],
    [12, 'static'],
    [13, 'shared'],
    [13, 'static'],
  ]

  it.for(linked)(
    "of CUDA %i, %s, calls the shim's functions for memory and the driver's for the rest",
    ([major, how], { skip }) => {
      const runtime = cudaRuntime(major)
      if ('missing' in runtime) return skip(runtime.missing)
      const binary = path.join(work, 'cudart_budget')
      const library =
        how === 'static'
          ? [path.join(runtime.directory, 'libcudart_static.a'), '-ldl', '-lpthread', '-lrt']
          : [path.join(runtime.directory, `libcudart.so.${major}`), `-Wl,-rpath,${runtime.directory}`]
      const source = path.join(packageDir, 'test/gpu/cudart_budget.c')
      const compiled = spawnSync('gcc', ['-O1', '-std=gnu11', '-o', binary, source, ...library], { encoding: 'utf8' })
      expect(compiled.status, compiled.stderr).toBe(0)
      const { functions } = run<Talk>([binary, '--functions'], { budgetBytes: BUDGET })
      for (const name of asked) {
        expect(functions[name], name).toMatchObject({ driver: 0 })
        expect(functions[name]?.shim, name).toBeGreaterThan(0)
      }
      expect(functions.cuDeviceGetName?.driver).toBeGreaterThan(0)
    },
  )
})

describe('the real max.driver', () => {
  interface Talk {
    readonly pieces: Record<string, string>
    readonly planned: number
  }

  it('does everything that needs no code on the device, within its budget', async ({ skip }) => {
    const python = spawnSync('python3.11', ['--version']).status === 0
    if (!python) skip('python3.11 is missing, which the wheels are for')
    const root = await prepareMaxRoot({}).catch((error: Error) => skip(error.message))
    const { pieces, planned } = run<Talk>(['python3.11', program('max_driver.py')], {
      budgetBytes: 768 * MIB,
      machine: '2g',
      environment: { PYTHONPATH: path.join(root as string, 'usr/lib/python3/dist-packages') },
    })
    const { held_mib: heldMib, ...others } = pieces
    expect(others).toEqual(Object.fromEntries(Object.keys(others).map((name) => [name, 'ok'])))
    expect(Object.keys(others)).toHaveLength(16)
    expect(planned).toBeLessThanOrEqual(768 * MIB)
    expect(Number(heldMib)).toBeGreaterThan(512)
    expect(Number(heldMib)).toBeLessThanOrEqual(768)
  })
})
