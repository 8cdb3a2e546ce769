// The tools that bench:guard compares, and how each is told the same line: MemAvailable in bytes.
import { existsSync, mkdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { GIB, MIB } from './guard-stage.js'

const CGROUP2_SUPER_MAGIC = 0x63677270
/** What loads in containers are called; a rig's owner would name their engines so. */
export const ENGINE = 'engine'

const kib = (bytes) => Math.round(bytes / 1024)

/**
 * The guard acts as if all but `reserve` of the line did not exist. The default reserve is the one of the machine that is left then,
 * which holds it in turn; a few rounds settle that.
 */
export function guardArguments({
  lineBytes,
  memTotalBytes,
  marginBytes,
  settings,
  defaultReserveBytes,
  runDir,
  logDir,
}) {
  let reserveBytes = GIB
  for (let round = 0; round < 20; round++)
    reserveBytes = defaultReserveBytes(memTotalBytes - Math.max(0, lineBytes - reserveBytes))
  // Its one setting that matters here: a forecast may act an eighth of the reserve early. As large as leaves the soft line below the start.
  if (settings === 'best') reserveBytes = Math.floor((marginBytes * 0.85) / MIB) * MIB
  return [
    ...['--run-dir', runDir, '--log-dir', logDir, '--reserve-bytes', String(reserveBytes)],
    ...['--withhold-bytes', String(Math.max(0, lineBytes - reserveBytes)), '--ready-fd', '3'],
  ]
}

/** Debian's default is SIGTERM at 10 % and SIGKILL at half of that: the line, and half of it. */
export function earlyoomArguments({ lineBytes, settings }) {
  const line = kib(lineBytes)
  if (settings === 'default') return ['-M', `${line},${Math.floor(line / 2)}`, '-r', '3600']
  // SIGKILL at once, whatever swap is free, engines first, at the highest niceness.
  return ['-M', `${line},${line}`, '-s', '100,100', '-r', '0', '-p', '--prefer', `^${ENGINE}$`]
}

/** Debian's nohang.conf with the line in it. Its defaults are SIGTERM at 5 % and SIGKILL at 2 %. */
export function nohangConfig(text, { lineBytes, settings }) {
  const mib = (bytes) => `${Math.round(bytes / MIB)} M`
  const set =
    settings === 'default'
      ? { soft_threshold_min_mem: mib(lineBytes), hard_threshold_min_mem: mib((lineBytes * 2) / 5) }
      : {
          soft_threshold_min_mem: mib(lineBytes),
          hard_threshold_min_mem: mib(lineBytes),
          soft_threshold_min_swap: '100 %',
          hard_threshold_min_swap: '100 %',
          fill_rate_mem: '60000',
          max_sleep: '0.01',
          min_sleep: '0.01',
          post_soft_action_delay: '0.1',
        }
  const lines = text.split('\n').map((line) => {
    const key = /^(\w+)\s*=/.exec(line)?.[1]
    return key !== undefined && key in set ? `${key} = ${set[key]}` : line
  })
  // Chosen by name before size, as earlyoom's --prefer.
  return settings === 'best' ? `${lines.join('\n')}\n@BADNESS_ADJ_RE_NAME 300 /// ^${ENGINE}$\n` : lines.join('\n')
}

/** Why systemd-oomd cannot be put on this stage. */
export function oomdReasons({
  cgroupRoot = '/sys/fs/cgroup',
  initFile = '/proc/1/comm',
  pressure = '/proc/pressure/memory',
} = {}) {
  const reasons = []
  if (statfsSync(cgroupRoot).type !== CGROUP2_SUPER_MAGIC)
    reasons.push('memory is not on a unified cgroup v2 hierarchy here')
  if (readFileSync(initFile, 'utf8').trim() !== 'systemd')
    reasons.push('the first process is not systemd, which it takes its orders from')
  if (!existsSync(pressure)) reasons.push('the kernel keeps no pressure figures (PSI)')
  reasons.push(
    'it acts on pressure and swap only, never on MemAvailable, so that a line above real exhaustion does not move it',
  )
  return `systemd-oomd: ${reasons.join('; ')}`
}

/**
 * Every tool: name, whether it can run (else why not), and its command line for a line.
 *
 * @param native directory of our programs
 * @param tools directory where bin/bootstrap.sh unpacked Debian's packages
 */
export function listTools({ native, tools, dir, defaultReserveBytes }) {
  const missing = (name) =>
    `${name} is not there: sh bin/bootstrap.sh bench-guard fetches Debian's package where apt-get can`
  const earlyoom = path.join(tools, 'usr/bin/earlyoom')
  const nohang = path.join(tools, 'usr/sbin/nohang')
  const nohangConf = path.join(tools, 'etc/nohang/nohang.conf')
  return [
    {
      name: 'spark-guard',
      skipped: null,
      argv: (line) => [path.join(native, 'spark-guard'), ...guardArguments({ ...line, defaultReserveBytes })],
    },
    {
      name: 'earlyoom',
      skipped: existsSync(earlyoom) ? null : missing('earlyoom'),
      argv: (line) => [earlyoom, ...earlyoomArguments(line)],
    },
    {
      name: 'nohang',
      skipped: !existsSync(nohang)
        ? missing('nohang')
        : existsSync('/usr/bin/python3')
          ? null
          : 'nohang needs python3, which is not installed',
      // Its parser takes less than 50 % of the memory only.
      cannot: ({ lineBytes, memTotalBytes }) =>
        lineBytes * 2 < memTotalBytes
          ? null
          : 'nohang takes no threshold of half of the memory or more; only whole runs take memory aside for that',
      argv: (line) => {
        mkdirSync(dir, { recursive: true })
        const config = path.join(dir, `nohang-${line.settings}.conf`)
        writeFileSync(config, nohangConfig(readFileSync(nohangConf, 'utf8'), line))
        return ['/usr/bin/python3', '-W', 'ignore', nohang, '--monitor', '--config', config]
      },
    },
    { name: 'systemd-oomd', skipped: oomdReasons(), argv: () => [] },
  ]
}
