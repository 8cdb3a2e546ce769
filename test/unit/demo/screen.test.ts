import { Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { drawCourse, drawMoment, isWorthALine } from '../../../src/demo/draw.js'
import {
  type DemoReport,
  renderRemarks,
  renderTable,
  type SceneResult,
  skippedScene,
} from '../../../src/demo/report.js'
import type { Sample } from '../../../src/demo/sample.js'
import { createScreen } from '../../../src/demo/screen.js'
import { createUndoStack } from '../../../src/demo/undo.js'
import { drawBar } from '../../../src/views/bar.js'

const MIB = 1024 ** 2
const scale = { sizeBytes: 1024 * MIB, reserveBytes: 128 * MIB }

function sample(ms: number, driverMib: number, availableMib = 1024 - driverMib): Sample {
  return { ms, driverBytes: driverMib * MIB, availableBytes: availableMib * MIB, cgroupBytes: 2 * MIB }
}

function record(isTerminal: boolean) {
  let text = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk)
      done()
    },
  })
  return { screen: createScreen({ stream, isTerminal, color: false, columns: () => 120 }), read: () => text }
}

describe('a bar', () => {
  it('is exact to an eighth and bounded', () => {
    expect(drawBar(0, 4)).toBe('····')
    expect(drawBar(0.5, 4)).toBe('██··')
    expect(drawBar(0.53125, 4)).toBe('██▏·')
    expect(drawBar(7, 4)).toBe('████')
    expect(drawBar(0.5, 8, 0.25)).toBe('██┃█····')
  })
})

describe('the picture', () => {
  it.each([100, 1023.9])('fits a terminal of 80 columns with its legend, reserve %d MiB', (reserveMib) => {
    const lines = drawMoment(sample(0, 100), { ...scale, reserveBytes: reserveMib * MIB }, 'resident (top)', 80)
    for (const line of lines) expect(line.length).toBeLessThan(80)
  })
})

describe('the course of a scene', () => {
  it('shows the lowest value of each stretch', () => {
    expect(drawCourse([sample(0, 0), sample(50, 1024), sample(60, 0), sample(100, 0)], scale, 4)).toBe('██▁█')
    expect(drawCourse([], scale)).toBe('')
  })
})

describe('the screen', () => {
  it('writes plain lines into a file, when something moved', () => {
    const { screen, read } = record(false)
    screen.show(sample(0, 0), scale, 'docker stats')
    screen.show(sample(100, 1), scale, 'docker stats')
    screen.show(sample(200, 512), scale, 'docker stats')
    screen.show(sample(300, 1000), scale, 'docker stats')
    const lines = read().trimEnd().split('\n')
    expect(lines).toHaveLength(3)
    expect(lines[1]).toMatch(/0\.2 s {3}GPU driver 512\.0 MiB {3}docker stats {3}2\.0 MiB {3}MemAvailable 512\.0 MiB$/)
    expect(lines[2]).toMatch(/\(under the reserve\)$/)
    expect(read()).not.toContain('\x1b')
  })

  it('redraws in place on a terminal, below what is said meanwhile', () => {
    const { screen, read } = record(true)
    screen.show(sample(0, 0), scale, 'docker stats')
    screen.say('hello')
    screen.show(sample(100, 512), scale, 'docker stats')
    expect(read().split('\x1b[3A\r\x1b[J')).toHaveLength(3)
    screen.show(sample(200, 0), scale, 'docker stats')
    screen.endPicture()
    screen.say('after')
    const standing = read().split('\x1b[J').at(-1)
    expect(standing).toMatch(/GPU driver +█{20}·{20} +512\.0 MiB\n.*\n.*reserve 128\.0 MiB\nafter\n$/)
  })

  it('counts a crossing of the reserve as news', () => {
    expect(isWorthALine(sample(0, 890), sample(1, 900), scale)).toBe(true)
    expect(isWorthALine(sample(0, 100), sample(1, 110), scale)).toBe(false)
  })
})

describe('the report', () => {
  const played: SceneResult = {
    name: 'guard',
    exitCode: 137,
    engineSaw: { totalBytes: 4096 * MIB, freeBytes: 4000 * MIB },
    peakDriverBytes: 3000 * MIB,
    cgroupPeakBytes: 3 * MIB,
    minAvailableBytes: 600 * MIB,
    othersTookBytes: 0,
    othersGaveBackBytes: 0,
    killedBy: 'spark-guard',
    bystanderAlive: true,
    ok: true,
    complaints: [],
  }
  const report: DemoReport = {
    engine: 'none',
    machine: { memTotalBytes: 4096 * MIB, reserveBytes: 512 * MIB, cgroup: 'v2', gpu: 'simulated' },
    scenes: [
      { ...played, name: 'unprotected', killedBy: null, exitCode: 0, minAvailableBytes: 100 * MIB },
      skippedScene('max', 'no wheels'),
      played,
    ],
    ok: false,
  }

  it('says what is not to be taken for a budget, and what was played twice', () => {
    const past = { ...played, engineSaw: { totalBytes: 9000 * MIB, freeBytes: 8000 * MIB }, repeated: true }
    expect(renderRemarks({ ...report, engine: 'docker', scenes: [past] })).toEqual([
      'guard: that engine asks the kernel, past every library, and so it saw this host itself',
      'guard was played twice, since others moved memory the first time',
    ])
  })

  it('lines up and tells what its signs mean', () => {
    expect(renderTable(report)).toEqual([
      'SCENE         ENGINE SAW   DRIVER PEAK   CGROUP PEAK   LOWEST AVAILABLE   EXIT   RESULT',
      'unprotected   4.0 GiB      2.9 GiB       3.0 MiB       100.0 MiB !        0      as feared',
      'max           -            -             -             -                  -      skipped',
      'guard         4.0 GiB      2.9 GiB       3.0 MiB       600.0 MiB          137    killed by spark-guard, bystander alive',
    ])
    expect(renderRemarks(report)).toEqual([
      '! = MemAvailable was under the reserve of 512.0 MiB',
      'max was skipped: no wheels',
      'Played on plain processes: there were no containers, no memory cgroups and no limits by the kernel.',
    ])
  })
})

describe('the undo stack', () => {
  it('undoes the newest first, goes on after a failure, and undoes late comers at once', async () => {
    const undo = createUndoStack()
    const done: string[] = []
    await undo.add('one', () => void done.push('one'))
    await undo.add('two', () => {
      throw new Error('stuck')
    })
    await undo.add('three', () => void done.push('three'))
    expect(await undo.run()).toEqual(['two: stuck'])
    await undo.add('late', () => void done.push('late'))
    expect(done).toEqual(['three', 'one', 'late'])
  })
})
