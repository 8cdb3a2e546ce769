import { describe, expect, it } from 'vitest'
import { createLineSorter } from '../../../src/probe/trace-file.js'
import { parseTraceLine } from '../../../src/probe/trace-line.js'
import { traceView } from '../../../src/views/trace-view.js'

const MIB = 1024 ** 2

function line(fields: object): string {
  return `${JSON.stringify({ v: 1, ns: 5, pid: 42, tid: 43, layer: 'cuda', call: 'cuMemAlloc_v2', by: 'driver', ...fields })}\n`
}

describe('a line of the trace', () => {
  it('keeps what it knows and skips fields that it does not', () => {
    expect(parseTraceLine(line({ bytes: 7, colour: 'red' }))).toEqual({
      ...{ v: 1, ns: 5, pid: 42, layer: 'cuda', call: 'cuMemAlloc_v2', by: 'driver', bytes: 7 },
    })
  })

  it.each([
    '',
    '{',
    'null',
    '[]',
    line({ v: 2 }),
    line({ ns: 'soon' }),
    line({ bytes: -1 }),
    line({ call: undefined }),
  ])('is none: %j', (text) => {
    expect(parseTraceLine(text)).toBeUndefined()
  })
})

describe('the order of lines', () => {
  it('is that of the clock, however the file has them, and however it is cut', () => {
    const sorter = createLineSorter()
    const text = [30, 10, 20].map((ns) => line({ ns })).join('')
    for (const piece of text.match(/.{1,7}|\n/gs) ?? []) sorter.add(piece)
    expect(sorter.takeAll().map(({ ns }) => ns)).toEqual([10, 20, 30])
    expect(sorter.takeAll()).toEqual([])
  })

  it('holds back what a slower process may still come before', () => {
    const sorter = createLineSorter()
    sorter.add(line({ ns: 1_000 }) + line({ ns: 900_000_000 }))
    expect(sorter.take(920_000_000).map(({ ns }) => ns)).toEqual([1_000])
    sorter.add(line({ ns: 890_000_000 }))
    expect(sorter.take(990_000_000).map(({ ns }) => ns)).toEqual([890_000_000, 900_000_000])
  })

  it('leaves out what is no line, and half a line at the end', () => {
    const sorter = createLineSorter()
    sorter.add(`nonsense\n${line({})}${line({}).slice(0, 20)}`)
    expect(sorter.takeAll()).toHaveLength(1)
  })
})

describe('a line for people', () => {
  it.each([
    [
      { bytes: 2048 * MIB, result: 2, by: 'shim', leftBytes: 1229 * MIB, budgetBytes: 4096 * MIB },
      '[42] cuMemAlloc_v2(2.0 GiB) = CUDA_ERROR_OUT_OF_MEMORY (refused by spark-run; 1.2 GiB of 4.0 GiB left)',
    ],
    [
      { bytes: MIB, result: 2, leftBytes: MIB, budgetBytes: MIB },
      '[42] cuMemAlloc_v2(1.0 MiB) = CUDA_ERROR_OUT_OF_MEMORY (refused by the driver; 1.0 MiB of 1.0 MiB left)',
    ],
    [
      { bytes: MIB, result: 0, leftBytes: 0, budgetBytes: MIB },
      '[42] cuMemAlloc_v2(1.0 MiB) = CUDA_SUCCESS (0 B of 1.0 MiB left)',
    ],
    [{ call: 'cuMemFree_v2', result: 4242 }, '[42] cuMemFree_v2() = 4242'],
    [
      { layer: 'nvml', call: 'nvmlDeviceGetMemoryInfo', result: 0, by: 'shim', freeBytes: MIB, totalBytes: 2 * MIB },
      '[42] nvmlDeviceGetMemoryInfo() = NVML_SUCCESS (told 1.0 MiB free of 2.0 MiB by spark-run)',
    ],
    [
      { layer: 'nvml', call: 'nvmlDeviceGetMemoryInfo', result: 3 },
      '[42] nvmlDeviceGetMemoryInfo() = NVML_ERROR_NOT_SUPPORTED',
    ],
    [
      { call: 'cuDeviceTotalMem_v2', result: 0, by: 'shim', totalBytes: 2 * MIB },
      '[42] cuDeviceTotalMem_v2() = CUDA_SUCCESS (told 2.0 MiB in all by spark-run)',
    ],
    [
      { layer: 'loader', call: 'dlopen', detail: 'libcuda.so.1', by: 'shim' },
      '[42] dlopen("libcuda.so.1") (led through spark-run)',
    ],
    [
      { layer: 'loader', call: 'cuGetProcAddress_v2', detail: 'cuInit', result: 0 },
      '[42] cuGetProcAddress_v2("cuInit") = CUDA_SUCCESS (the driver\'s own)',
    ],
    [{ layer: 'host', call: 'open', detail: '/proc/meminfo' }, '[42] open("/proc/meminfo") (the system\'s own)'],
  ])('%j', (fields, shown) => {
    const parsed = parseTraceLine(line(fields))
    expect(parsed && traceView(parsed)).toBe(shown)
  })
})
