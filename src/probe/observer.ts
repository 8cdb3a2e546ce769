import { hugePagesInUseBytes, readMeminfo } from '../host/meminfo.js'
import { readCgroupCurrentBytes, readMemoryCgroup } from '../host/own-cgroup.js'

/** What the host showed while a program ran. Everything else that ran then is in these figures, too. */
export interface HostObservation {
  readonly memTotalBytes: number
  readonly memAvailable: { readonly beforeBytes: number; readonly lowestBytes: number }
  readonly hugePages: { readonly beforeBytes: number; readonly highestBytes: number }
  /** Null where the program's cgroup keeps no account of memory. */
  readonly cgroup: {
    readonly version: 1 | 2
    readonly path: string
    readonly limitBytes: number | null
    readonly beforeBytes: number
    readonly highestBytes: number
  } | null
}

const INTERVAL_MS = 20

/** Looks at the host until it is told to stop. The program is taken to be in our own cgroup, where children begin. */
export function observeHost(): () => HostObservation {
  const cgroup = readMemoryCgroup()
  const look = () => {
    const meminfo = readMeminfo()
    return {
      memTotalBytes: meminfo.totalBytes,
      availableBytes: meminfo.availableBytes,
      hugeBytes: hugePagesInUseBytes(meminfo.hugePages),
      cgroupBytes: (cgroup === undefined ? undefined : readCgroupCurrentBytes(cgroup)) ?? 0,
    }
  }
  const before = look()
  let lowestBytes = before.availableBytes
  let hugeBytes = before.hugeBytes
  let cgroupBytes = before.cgroupBytes
  const sample = () => {
    const now = look()
    lowestBytes = Math.min(lowestBytes, now.availableBytes)
    hugeBytes = Math.max(hugeBytes, now.hugeBytes)
    cgroupBytes = Math.max(cgroupBytes, now.cgroupBytes)
  }
  const timer = setInterval(sample, INTERVAL_MS)
  return () => {
    clearInterval(timer)
    sample()
    return {
      memTotalBytes: before.memTotalBytes,
      memAvailable: { beforeBytes: before.availableBytes, lowestBytes },
      hugePages: { beforeBytes: before.hugeBytes, highestBytes: hugeBytes },
      cgroup:
        cgroup === undefined
          ? null
          : {
              version: cgroup.version,
              path: cgroup.path,
              limitBytes: cgroup.limitBytes,
              beforeBytes: before.cgroupBytes,
              highestBytes: cgroupBytes,
            },
    }
  }
}
