import { describe, expect, test } from 'vitest'
import type { Status } from '../../../src/host/status.js'
import { statusView } from '../../../src/views/status-view.js'

const GIB = 1024 ** 3
const quiet: Status = {
  schemaVersion: 1,
  machine: {
    memTotalBytes: 120 * GIB,
    memAvailableBytes: 90 * GIB,
    withholdBytes: 0,
    reserveBytes: 12 * GIB,
    leftBytes: 108 * GIB,
    cgroup: 'v2',
  },
  guard: { running: false, state: null },
  containers: [],
  invalidRegistryFiles: [],
  counts: { kills: 0, refusals: 1, warnings: 0 },
}
const state = {
  pid: 713,
  reserveBytes: 12 * GIB,
  withholdBytes: 0,
  soft: false,
  killBy: 'cgroup.kill',
  realtime: true,
  lockedMemory: true,
}
const line = (status: Status, label: string) => statusView(status).find((text) => text.startsWith(label))

describe('the status for people', () => {
  test('an idle machine without a guard', () => {
    expect(statusView(quiet)).toEqual([
      'memory    ██████████··························┃··· 90.0 GiB of 120.0 GiB available',
      'reserve   12.0 GiB',
      'left      108.0 GiB for new containers',
      'guard     not running: nobody protects this host until spark-run install or spark-run docker run starts it',
      'so far    0 kills, 1 refusal',
      '',
      'No container is under spark-run.',
    ])
  })
  test('a guard that could take all it wants', () => {
    expect(line({ ...quiet, guard: { running: true, state } }, 'guard')).toBe(
      'guard     running (pid 713), kills by cgroup.kill',
    )
  })
  test('a guard that lacks something, on a machine short of memory', () => {
    const poor = { ...state, realtime: false, lockedMemory: false, soft: true, killBy: 'freezer' }
    expect(line({ ...quiet, guard: { running: true, state: poor } }, 'guard')).toBe(
      'guard     running (pid 713), kills by freezer, without realtime priority and locked memory; memory is short: no new containers',
    )
  })
  test('a reserve that is not kept is named', () => {
    const short = { ...quiet, machine: { ...quiet.machine, memAvailableBytes: GIB } }
    expect(line(short, 'reserve')).toBe('reserve   12.0 GiB, not kept at this moment')
  })
  test('memory that is withheld is named', () => {
    const rehearsal = { ...quiet, machine: { ...quiet.machine, withholdBytes: 20 * GIB } }
    expect(line(rehearsal, 'memory')).toContain('90.0 GiB of 120.0 GiB available, 20.0 GiB withheld')
  })
  test('registry files that are not valid are named in one line', () => {
    const last = (...invalidRegistryFiles: string[]) => statusView({ ...quiet, invalidRegistryFiles }).slice(6)
    expect(last('a')).toEqual([
      'No container is under spark-run.',
      '',
      '1 registry file is not valid and is ignored: a',
    ])
    expect(last('a', 'b').at(-1)).toBe('2 registry files are not valid and are ignored: a, b')
  })
  test('containers stand in a table; what is unknown is a dash', () => {
    const status: Status = {
      ...quiet,
      containers: [
        {
          id: '0123456789abcdef',
          name: 'web',
          engine: 'docker',
          priority: 0,
          budgetBytes: 40 * GIB,
          driverBytes: 18 * GIB,
          cgroupBytes: 2 * GIB,
          peakDriverBytes: 20 * GIB,
          refusedCount: 3,
        },
        {
          id: 'short',
          name: null,
          engine: 'podman',
          priority: -5,
          budgetBytes: 8 * GIB,
          driverBytes: null,
          cgroupBytes: null,
          peakDriverBytes: null,
          refusedCount: null,
        },
      ],
    }
    expect(statusView(status).slice(6)).toEqual([
      'CONTAINER      NAME   ENGINE   USE            BUDGET     DRIVER    CGROUP   REFUSED   PRIORITY',
      '0123456789ab   web    docker   █████·····   40.0 GiB   18.0 GiB   2.0 GiB         3          0',
      'short          -      podman   ··········    8.0 GiB          -         -         -         -5',
    ])
  })
})
