import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findProgram } from '../../src/engines/private-dockerd-needs.js'
import { readMeminfo } from '../../src/host/meminfo.js'
import { makeOwnFilesImage } from '../support/own-files-image.js'
import {
  addDocker,
  because,
  MIB,
  missingForDockerTests,
  type PrivateMachine,
  startPrivateMachine,
} from '../support/private-machine.js'

const missing = missingForDockerTests()
const BUDGET = 512 * MIB
const IMAGE = 'spark-test/own-files'
const PYTHON = '/usr/bin/python3'

/** How far figures may lie apart that one process reads one after the other: what it allocates itself in between. */
const APART = 16 * MIB

/** Each way that Python has of asking, before and after 128 MiB of driver memory. */
const ASK = `
import ctypes, json, os
def meminfo(text):
    return {line.split(':')[0]: int(line.split()[1]) * 1024 for line in text.splitlines() if line.endswith('kB')}
def look():
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    assert cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0
    memory = (ctypes.c_uint64 * 3)()
    assert nvml.nvmlDeviceGetMemoryInfo(device, memory) == 0
    whole = meminfo(open('/proc/meminfo').read())
    fd = os.open('/proc/meminfo', os.O_RDONLY)
    first = meminfo(os.read(fd, 2048).decode())
    os.close(fd)
    assert whole.keys() == first.keys()
    page = os.sysconf('SC_PAGE_SIZE')
    answer = {
        'cuda': [total.value, free.value], 'nvml': [memory[0], memory[1]],
        'meminfo': [whole['MemTotal'], whole['MemAvailable']],
        'meminfo first 2 KiB': [first['MemTotal'], first['MemFree']],
        'sysconf': [os.sysconf('SC_PHYS_PAGES') * page, os.sysconf('SC_AVPHYS_PAGES') * page],
    }
    try:
        import psutil
        seen = psutil.virtual_memory()
        answer['psutil'] = [seen.total, seen.available]
        answer['psutil less used'] = [seen.total, seen.total - seen.used]
        assert psutil.swap_memory().total == 0
    except ImportError:
        pass
    return answer
cuda, nvml = ctypes.CDLL('libcuda.so.1'), ctypes.CDLL('libnvidia-ml.so.1')
device, context, pointer = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_uint64()
assert nvml.nvmlInit_v2() == 0 and nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(device)) == 0
assert cuda.cuInit(0) == 0 and cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
assert cuda.cuCtxSetCurrent(context) == 0
before = look()
assert cuda.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(128 << 20)) == 0
print(json.dumps({'before': before, 'after': look()}))
`

/** Go opens files and asks the kernel without the C library. */
const GO_PROGRAM = `package main

import (
	"os"
	"syscall"
)

func main() {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		panic(err)
	}
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		panic(err)
	}
	os.Stdout.Write(text)
	println(info.Totalram)
}
`

type Layers = Record<string, [totalBytes: number, freeBytes: number]>

describe.skipIf(missing.length > 0)(
  `what programs in a container are told of the machine's memory${because(missing)}`,
  () => {
    let machine: PrivateMachine
    let greedy: string
    let own: string[]
    let dir: string
    const realTotalBytes = readMeminfo().totalBytes

    beforeAll(async () => {
      machine = await startPrivateMachine()
      dir = mkdtempSync(path.join(os.tmpdir(), 'spark-views-'))
      await machine.undo.add(dir, () => rmSync(dir, { recursive: true, force: true }))
      ;({ greedy } = await addDocker(machine))
      own = makeOwnFilesImage(IMAGE, machine.env)
    })
    afterAll(() => machine?.stop())

    const held = (...args: string[]) =>
      machine.sparkRun('--budget', '512m', 'docker', 'run', '--rm', '--network=none', ...args)
    const runOwn = (flags: string[], ...program: string[]) => held(...flags, ...own, IMAGE, ...program)

    it.each([
      { who: 'root', flags: [] },
      {
        who: 'another user with no rights and a read-only root',
        flags: ['--read-only', '--user=1234:1234', '--cap-drop=ALL', '--security-opt=no-new-privileges'],
      },
    ])('Python sees the budget everywhere, and all figures move together ($who)', async ({ flags }) => {
      const { status, stdout, stderr } = await runOwn([...flags, ...machine.gpu()], PYTHON, '-c', ASK)
      expect(stderr).toBe('')
      expect(status).toBe(0)
      const { before, after } = JSON.parse(stdout) as { before: Layers; after: Layers }
      for (const [layers, atMost] of [
        [before, BUDGET],
        [after, BUDGET - 128 * MIB],
      ] as const) {
        for (const [totalBytes, freeBytes] of Object.values(layers)) {
          expect(totalBytes).toBe(BUDGET)
          expect(freeBytes).toBeLessThanOrEqual(atMost)
          expect(Math.abs(freeBytes - (layers.cuda?.[1] ?? 0))).toBeLessThan(APART)
        }
      }
      expect(after.cuda?.[1]).toBeGreaterThan(BUDGET - 256 * MIB)
    })

    it("psutil's own formulas fit", async (ctx) => {
      if (spawnSync(PYTHON, ['-c', 'import psutil']).status !== 0)
        ctx.skip(`${PYTHON} has no psutil; Debian: python3-psutil`)
      const ask = 'import psutil, json; print(json.dumps(psutil.virtual_memory()._asdict()))'
      const { stdout } = await runOwn([], PYTHON, '-c', ask)
      const seen = JSON.parse(stdout) as Record<string, number>
      expect(seen.total).toBe(BUDGET)
      expect(seen.free).toBe(seen.available)
      expect((seen.used ?? 0) + (seen.available ?? 0)).toBe(BUDGET)
      expect(seen.percent).toBeLessThan(50)
    })

    it('free(1) and docker exec see the budget', async (ctx) => {
      if (!existsSync('/usr/bin/free')) ctx.skip('no free(1) in /usr/bin; Debian: procps')
      const name = ['--name', 'exec-view']
      const args = [...name, '-d', ...own, IMAGE, '/usr/bin/sleep', '60']
      await machine.sparkRun('--budget', '512m', 'docker', 'run', '--rm', '--network=none', ...args)
      const { stdout } = await machine.run('docker', ['exec', 'exec-view', '/usr/bin/free', '-b'])
      await machine.run('docker', ['rm', '-f', 'exec-view'])
      const [total = 0, used = 0, free = 0, , , available = 0] = numbersOf(stdout, 'Mem:')
      expect(total).toBe(BUDGET)
      expect(free).toBe(available)
      expect(used).toBe(total - available)
      expect(numbersOf(stdout, 'Swap:')).toEqual([0, 0, 0])
    })

    it('Java plans with the budget, by its cgroup and without it', async (ctx) => {
      const program = findProgram('java')
      const java = [program === undefined ? '' : realpathSync(program), '-XX:+PrintFlagsFinal']
      if (!java[0]?.startsWith('/usr/lib/jvm/')) ctx.skip('no java of /usr/lib/jvm; Debian: default-jre-headless')
      const byCgroup = await runOwn([], ...java, '-version')
      const byLibc = await runOwn([], ...java, '-XX:-UseContainerSupport', '-version')
      // A quarter of what it sees.
      expect(maxHeapBytes(byCgroup.stdout)).toBe(BUDGET / 4)
      expect(maxHeapBytes(byLibc.stdout)).toBe(BUDGET / 4)
      const unheld = ['run', '--rm', '--network=none', ...own, IMAGE, ...java, '-version']
      expect(maxHeapBytes((await machine.run('docker', unheld)).stdout)).toBeGreaterThan(BUDGET)
    })

    it('what asks the kernel past the C library sees the machine: static programs', async () => {
      const { stdout } = await held('--entrypoint=/bin/busybox', greedy, 'sh', '-c', 'head -n 1 /proc/meminfo; free -k')
      expect(numbersOf(stdout, 'MemTotal:')[0]).toBe(realTotalBytes / 1024)
      expect(numbersOf(stdout, 'Mem:')[0]).toBe(Math.floor(realTotalBytes / 1024))
    })

    it('what asks the kernel past the C library sees the machine: Go', async (ctx) => {
      const go = findProgram('go')
      if (go === undefined) return ctx.skip('no Go compiler; Debian: golang-go')
      const source = path.join(dir, 'main.go')
      writeFileSync(source, GO_PROGRAM)
      mkdirSync(path.join(dir, 'bin'))
      const env = { ...process.env, CGO_ENABLED: '0', GO111MODULE: 'off', GOCACHE: path.join(dir, 'cache') }
      const built = spawnSync(go, ['build', '-o', path.join(dir, 'bin/view'), source], { env, encoding: 'utf8' })
      expect(built.stderr).toBe('')
      const { stdout, stderr } = await held('-v', `${dir}/bin:/view:ro`, IMAGE, '/view/view')
      expect(numbersOf(stdout, 'MemTotal:')).toEqual([realTotalBytes / 1024])
      expect(stderr.trim()).toBe(String(realTotalBytes))
    })

    it("a file that the user mounted over /proc/meminfo is the user's", async () => {
      const file = path.join(dir, 'meminfo')
      writeFileSync(file, 'MemTotal:       12345 kB\nMemAvailable:   12345 kB\n')
      const { stdout } = await runOwn(['-v', `${file}:/proc/meminfo:ro`], '/usr/bin/cat', '/proc/meminfo')
      expect(stdout).toContain('MemTotal:       12345 kB')
    })
  },
)

/** The numbers of the line that begins with `key`. */
function numbersOf(text: string, key: string): number[] {
  const line = text.split('\n').find((candidate) => candidate.trimStart().startsWith(key)) ?? ''
  return (line.replace(key, '').match(/\d+/g) ?? []).map(Number)
}

function maxHeapBytes(flags: string): number {
  return Number(/ MaxHeapSize +:?= (\d+)/.exec(flags)?.[1])
}
