import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmdirSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // Gone already.
  }
}

/** Children of every thread: Go starts processes from whichever thread it is on. */
function readChildren(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
    const text = readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').trim()
    return text === '' ? [] : text.split(' ').map(Number)
  })
}

/** Processes whose command line names `dir` as a whole path component, and their children (a shim's container). */
function findProcessesNaming(dir: string): number[] {
  const found: number[] = []
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
      if (!words.some((word) => word === dir || word.includes(`${dir}/`))) continue
      if (!/^(dockerd|containerd)/.test(readFileSync(`/proc/${pid}/comm`, 'utf8'))) continue
      found.push(pid, ...readChildren(pid))
    } catch {
      // It ended while we looked.
    }
  }
  return [...new Set(found)]
}

/** Kills what a daemon that was itself killed left behind: containerd, its shims, their containers. */
export async function endProcessesNaming(dir: string): Promise<void> {
  for (let round = 0; round < 50; round += 1) {
    const left = findProcessesNaming(dir)
    if (left.length === 0) return
    for (const pid of left) signal(pid, 'SIGKILL')
    await sleep(100)
  }
}

/** The mount points of a /proc/self/mountinfo text that lie in `dir`, deepest first. */
export function parseMountPointsUnder(mountinfo: string, dir: string): string[] {
  return mountinfo
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .map((field) =>
      field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    )
    .filter((mountPoint) => mountPoint === dir || mountPoint.startsWith(`${dir}/`))
    .sort((a, b) => b.length - a.length)
}

/** Unmounts everything in `dir` and returns what would not go. */
export function unmountUnder(dir: string): string[] {
  const left = () => parseMountPointsUnder(readFileSync('/proc/self/mountinfo', 'utf8'), dir)
  for (const mountPoint of left()) {
    if (spawnSync('umount', [mountPoint]).status !== 0) spawnSync('umount', ['--lazy', mountPoint])
  }
  return left()
}

/** Removes the empty cgroups of the containers in `dataRoot`, which only a killed daemon leaves behind. */
export function removeContainerCgroups(dataRoot: string): void {
  for (const id of listIfPresent(path.join(dataRoot, 'containers'))) {
    for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
      const [, mountPoint, type] = line.split(' ')
      if (mountPoint === undefined || (type !== 'cgroup' && type !== 'cgroup2')) continue
      try {
        rmdirSync(path.join(mountPoint, 'docker', id))
      } catch {
        // Gone already, which is the rule.
      }
    }
  }
}

function listIfPresent(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch {
    return []
  }
}
