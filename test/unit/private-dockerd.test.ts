import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  computeDockerdArguments,
  computeDockerdLayout,
  fitsSocketPath,
  pickReason,
} from '../../src/engines/private-dockerd.js'
import { computeMissingForDockerd, type DockerdGround } from '../../src/engines/private-dockerd-needs.js'
import { clearFixedPlaces, rememberFixedPlaces } from '../../src/engines/private-dockerd-places.js'
import { parseMountPointsUnder } from '../../src/engines/private-dockerd-sweep.js'

const ground: DockerdGround = {
  uid: 0,
  effectiveCapabilities: 1n << 21n,
  uidMap: '         0          0 4294967295\n',
  mounts: 'cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n',
  findProgram: (name) => `/usr/bin/${name}`,
}

describe('what a private Docker daemon needs', () => {
  it('is all there on a machine with root, programs and cgroups', () => {
    expect(computeMissingForDockerd(ground)).toEqual([])
    expect(
      computeMissingForDockerd({ ...ground, mounts: 'cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0' }),
    ).toEqual([])
  })

  it('is named when missing, each part in its own words', () => {
    const bare: DockerdGround = {
      uid: 1000,
      uidMap: ground.uidMap,
      effectiveCapabilities: 0n,
      mounts: 'cgroup2 /sys/fs/cgroup cgroup2 ro 0 0\n',
      findProgram: (name) => (name === 'dockerd' ? undefined : `/usr/bin/${name}`),
    }
    expect(computeMissingForDockerd(bare)).toEqual([
      'the program dockerd is not installed',
      'it needs root, and this is user 1000',
      'no memory cgroup hierarchy is mounted writable',
    ])
    expect(computeMissingForDockerd({ ...ground, effectiveCapabilities: 0xa80425fbn })).toEqual([
      'this root may not mount (no CAP_SYS_ADMIN)',
    ])
    expect(computeMissingForDockerd({ ...ground, uidMap: '         0       1000          1\n' })).toEqual([
      'root here is only root inside a user namespace',
    ])
  })
})

describe('layout and arguments', () => {
  it('keep every file in one directory', () => {
    const layout = computeDockerdLayout('/tmp/x')
    for (const file of Object.values(layout)) expect(file.startsWith('/tmp/x/')).toBe(true)
    expect(computeDockerdArguments(layout)).toContain('unix:///tmp/x/docker.sock')
    expect(computeDockerdArguments(layout, 'vfs').slice(-2)).toEqual(['--storage-driver', 'vfs'])
  })

  it('refuse a directory whose sockets the kernel would not take', () => {
    expect(fitsSocketPath('/tmp/spark-abcdef')).toBe(true)
    expect(fitsSocketPath(`/tmp/${'a'.repeat(80)}`)).toBe(false)
  })
})

describe('the places that a daemon makes wherever it lives', () => {
  let root: string
  beforeEach(() => {
    root = mkdtempSync(path.join(os.tmpdir(), 'places-'))
    mkdirSync(path.join(root, 'run'))
    mkdirSync(path.join(root, 'opt'))
  })
  afterEach(() => rmSync(root, { recursive: true }))

  const make = () => {
    for (const dir of [
      'etc/docker',
      'opt/containerd/bin',
      'opt/containerd/lib',
      'run/containerd/s',
      'run/docker/plugins',
    ]) {
      mkdirSync(path.join(root, dir), { recursive: true })
    }
    writeFileSync(path.join(root, 'etc/docker/key.json'), '{}')
  }
  const left = () => (readdirSync(root, { recursive: true }) as string[]).sort()

  it('go with the last of the private daemons', () => {
    rememberFixedPlaces('/tmp/a', root)
    make()
    rememberFixedPlaces('/tmp/b', root)
    clearFixedPlaces('/tmp/a', root)
    expect(left()).toContain('etc/docker/key.json')
    clearFixedPlaces('/tmp/b', root)
    clearFixedPlaces('/tmp/b', root)
    expect(left()).toEqual(['etc', 'opt', 'run'])
  })

  it('stay where they were before, where somebody uses them, and where the machine has a daemon of its own', () => {
    mkdirSync(path.join(root, 'etc/docker'), { recursive: true })
    writeFileSync(path.join(root, 'etc/docker/key.json'), '{}')
    rememberFixedPlaces('/tmp/a', root)
    make()
    writeFileSync(path.join(root, 'run/docker/plugins/x.sock'), '')
    clearFixedPlaces('/tmp/a', root)
    const kept = ['etc', 'etc/docker', 'etc/docker/key.json', 'opt', 'run', 'run/docker', 'run/docker/plugins']
    expect(left()).toEqual([...kept, 'run/docker/plugins/x.sock'])
    rememberFixedPlaces('/tmp/a', root)
    make()
    writeFileSync(path.join(root, 'run/docker.sock'), '')
    clearFixedPlaces('/tmp/a', root)
    expect(left()).toContain('opt/containerd/lib')
  })
})

describe('the reason of a failure', () => {
  it('is the last message that tells one', () => {
    expect(
      pickReason([
        'time="t" level=info msg="Starting up"',
        'failed to start daemon: error initializing graphdriver: driver not supported',
        'time="t" level=info msg="stopping"',
      ]),
    ).toBe('failed to start daemon: error initializing graphdriver: driver not supported')
    expect(pickReason([])).toBe('it wrote nothing')
  })
})

describe('mount points under a directory', () => {
  it('come deepest first, unescaped, and never a neighbour', () => {
    const mountinfo = [
      '30 1 0:5 / / rw - ext4 /dev/vda rw',
      '31 30 0:6 / /tmp/x/data/a\\040b rw - overlay overlay rw',
      '32 30 0:7 / /tmp/x/data/a\\040b/deep rw - tmpfs tmpfs rw',
      '33 30 0:8 / /tmp/xy rw - tmpfs tmpfs rw',
    ].join('\n')
    expect(parseMountPointsUnder(mountinfo, '/tmp/x')).toEqual(['/tmp/x/data/a b/deep', '/tmp/x/data/a b'])
  })
})
