import { describe, expect, it } from 'vitest'
import { computeProbeReport, type ProbeFacts, type ProbeReport } from '../../../src/probe/layers.js'
import { createTallier } from '../../../src/probe/tally.js'
import type { TraceLine } from '../../../src/probe/trace-line.js'
import { probeView } from '../../../src/views/probe-view.js'

const MIB = 1024 ** 2
const GIB = 1024 ** 3
const HOST = {
  memTotalBytes: 16 * GIB,
  memAvailable: { beforeBytes: 12 * GIB, lowestBytes: 8 * GIB },
  hugePages: { beforeBytes: 0, highestBytes: 3584 * MIB },
  cgroup: { version: 2 as const, path: '/user.slice', limitBytes: 8 * GIB, beforeBytes: GIB, highestBytes: GIB + MIB },
}
const LEDGER = {
  ...{ budgetBytes: 4 * GIB, reserveBytes: 0, withholdBytes: 0 },
  ...{ usedBytes: 0, peakBytes: 3584 * MIB, refusedCount: 2 },
}
const SIZES = { budgetBytes: 4 * GIB, budgetGiven: true, reserveBytes: 0, simBytes: 16 * GIB }

function reportOn(lines: Partial<TraceLine>[], facts: Partial<ProbeFacts> = {}): ProbeReport {
  const tallier = createTallier()
  for (const [index, fields] of lines.entries())
    tallier.add({ v: 1, ns: index, pid: 42, layer: 'cuda', call: 'cuMemCreate', by: 'driver', ...fields })
  const given = { command: ['engine'], exitCode: 0, sizes: SIZES, ledger: LEDGER, host: HOST, ...facts }
  return computeProbeReport({ ...given, tally: tallier.tally() })
}

const room = (freeBytes: number) => ({ by: 'shim', freeBytes, totalBytes: 4 * GIB, result: 0 })
const MAX_LIKE: Partial<TraceLine>[] = [
  { layer: 'host', call: 'open', detail: '/proc/meminfo', by: 'shim', freeBytes: 4 * GIB, totalBytes: 4 * GIB },
  { layer: 'loader', call: 'dlopen', detail: 'libnvidia-ml.so.1', by: 'shim' },
  { layer: 'nvml', call: 'nvmlDeviceGetMemoryInfo', ...room(4 * GIB) },
  { layer: 'loader', call: 'dlopen', detail: 'libcuda.so.1', by: 'shim' },
  { layer: 'loader', call: 'cuGetProcAddress_v2', detail: 'cuMemCreate', by: 'shim', result: 0 },
  ...Array.from({ length: 14 }, () => ({ bytes: 256 * MIB, result: 0 })),
  { call: 'cuMemAlloc_v2', bytes: GIB, result: 2, by: 'shim', leftBytes: 512 * MIB, budgetBytes: 4 * GIB },
  { pid: 43, call: 'cuMemAlloc_v2', bytes: GIB, result: 2, by: 'shim', leftBytes: 512 * MIB, budgetBytes: 4 * GIB },
  { call: 'cuMemGetInfo_v2', ...room(512 * MIB) },
  { call: 'cuMemRelease', result: 0 },
  { layer: 'later', call: 'something' },
]

describe('the seven layers', () => {
  const report = reportOn(MAX_LIKE, { exitCode: 3 })

  it('say what was told, by which function, and what was refused', () => {
    expect(report.layers.map(({ number, observable, refused }) => [number, observable, refused])).toEqual([
      ...[[1, 'yes', 0] as const, [2, 'partly', 0] as const, [3, 'no', 0] as const, [4, 'partly', 0] as const],
      ...[[5, 'yes', 0] as const, [6, 'yes', 0] as const, [7, 'yes', 2] as const],
    ])
    expect(report.layers[0]).toMatchObject({
      told: { first: { freeBytes: 4 * GIB, totalBytes: 4 * GIB } },
      calls: [{ call: 'nvmlDeviceGetMemoryInfo', times: 1, byShim: 1 }],
    })
    expect(report.layers[4]?.calls).toEqual([{ call: 'cuMemGetInfo_v2', times: 1, byShim: 1 }])
    expect(report.layers[6]?.calls).toEqual([
      { call: 'cuMemCreate', times: 14, byShim: 0 },
      { call: 'cuMemAlloc_v2', times: 2, byShim: 0 },
    ])
  })

  it('add up what was taken', () => {
    const [create, alloc] = report.allocations
    expect(create).toMatchObject({
      call: 'cuMemCreate',
      granted: 14,
      grantedBytes: 3584 * MIB,
      largestBytes: 256 * MIB,
    })
    expect(alloc).toMatchObject({ call: 'cuMemAlloc_v2', granted: 0, refused: 2, refusedBytes: 2 * GIB })
    expect(report).toMatchObject({ processes: 2, libraries: ['libnvidia-ml.so.1', 'libcuda.so.1'] })
  })

  it('are put into words', () => {
    expect(report.verdict).toBe(
      'Before it took any, /proc/meminfo told it 4.0 GiB free of 4.0 GiB and nvmlDeviceGetMemoryInfo told it 4.0 GiB free of 4.0 GiB. ' +
        'It took 3.5 GiB in 14 calls of cuMemCreate, at most 3.5 GiB at once. ' +
        'It was refused 2 times, first by spark-run: 1.0 GiB by cuMemAlloc_v2 with 512.0 MiB left. It ended with exit code 3.',
    )
  })

  it('are a table', () => {
    expect(probeView(report)).toMatchInlineSnapshot(`
      [
        "On a simulated machine of 16.0 GiB, with a budget of 4.0 GiB; opened libnvidia-ml.so.1, libcuda.so.1.",
        "",
        "    LAYER                   SEEN                                                                                          CALLED                              REFUSED",
        "1   NVML                    4.0 GiB free of 4.0 GiB                                                                       nvmlDeviceGetMemoryInfo ×1                -",
        "2   engine's own estimate   4.0 GiB free of 4.0 GiB; what it computes is not visible from outside                         open ×1                                   -",
        "3   engine's own stats      not visible from outside: only the program can print it (Device.stats of MAX)                 -                                         -",
        "4   cudaMemGetInfo          1 driver function looked up, as a CUDA runtime does; it asks layer 5                          cuGetProcAddress_v2 ×1                    -",
        "5   cuMemGetInfo_v2         512.0 MiB free of 4.0 GiB                                                                     cuMemGetInfo_v2 ×1                        -",
        "6   cgroup                  memory.max 8.0 GiB; all in /user.slice rose by 1.0 MiB                                        -                                         -",
        "7   driver memory           ledger at most 3.5 GiB of 4.0 GiB; huge pages rose by 3.5 GiB; MemAvailable fell by 4.0 GiB   cuMemCreate ×14, cuMemAlloc_v2 ×2         2",
        "",
        "TOOK BY         TIMES       SUM     LARGEST   REFUSED   SUM REFUSED",
        "cuMemCreate        14   3.5 GiB   256.0 MiB         -             -",
        "cuMemAlloc_v2       0       0 B         0 B         2       2.0 GiB",
        "",
        "Before it took any, /proc/meminfo told it 4.0 GiB free of 4.0 GiB and nvmlDeviceGetMemoryInfo told it 4.0 GiB free of 4.0 GiB. It took 3.5 GiB in 14 calls of cuMemCreate, at most 3.5 GiB at once. It was refused 2 times, first by spark-run: 1.0 GiB by cuMemAlloc_v2 with 512.0 MiB left. It ended with exit code 3.",
      ]
    `)
  })
})

describe('a program that the shim never hears of', () => {
  it('is not called one that took nothing', () => {
    const report = reportOn([])
    expect(report.verdict).toBe(
      'No call came by the shim: it is a static program, one for another C library than glibc, or it never asked for a GPU or for memory. It ended with exit code 0.',
    )
    expect(report.layers[0]).toMatchObject({ told: null, calls: [], seen: 'not asked for memory' })
  })
})

describe('other ends', () => {
  it('the driver itself had no room', () => {
    const { verdict } = reportOn([{ bytes: GIB, result: 2 }])
    expect(verdict).toContain('It asked nobody how much memory there is. It took no driver memory.')
    expect(verdict).toContain('It was refused once by the driver: 1.0 GiB by cuMemCreate.')
  })

  it('a failure for another reason is no refusal', () => {
    const report = reportOn([
      { bytes: MIB, result: 0 },
      { bytes: MIB, result: 201 },
    ])
    expect(report.allocations).toEqual([
      {
        ...{ call: 'cuMemCreate', granted: 1, grantedBytes: MIB, largestBytes: MIB },
        ...{ refused: 0, refusedBytes: 0, failed: 1 },
      },
    ])
    expect(report.verdict).toContain('Nothing was refused.')
  })

  it('no budget, no ledger, the root cgroup', () => {
    const lines = probeView(
      reportOn([], {
        sizes: { budgetBytes: 16 * GIB, budgetGiven: false, reserveBytes: 0, simBytes: undefined },
        ledger: undefined,
        host: { ...HOST, cgroup: null },
      }),
    )
    expect(lines[0]).toBe(
      "On this machine, with no budget: the machine's 16.0 GiB stand for it, so that only what the machine has not is refused; no driver library opened.",
    )
    expect(lines.join('\n')).toContain('in the root cgroup, which has no limit and keeps no account')
    expect(lines.join('\n')).toContain('the ledger could not be read')
  })
})
