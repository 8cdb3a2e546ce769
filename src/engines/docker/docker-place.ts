import { existsSync } from 'node:fs'
import path from 'node:path'
import { EXIT_USAGE, ExpectedError } from '../../errors.js'
import { resolveProgram } from '../next-runtime.js'
import type { DaemonInfo } from './daemon-api.js'
import { type DaemonProcess, flagValue } from './daemon-process.js'

/**
 * The socket of a daemon on this machine.
 *
 * @throws ExpectedError `DOCKER_REMOTE` for tcp and ssh: the files to change are where the daemon is.
 */
export function socketPathOf(dockerHost: string): string {
  const match = /^(?:unix:\/\/)?(\/.+)$/.exec(dockerHost)
  if (match?.[1] !== undefined) return match[1]
  throw new ExpectedError('DOCKER_REMOTE', `the Docker daemon at ${dockerHost} is not on this machine's unix socket`, {
    hint: 'Run spark-run install docker on the machine where dockerd runs, or name its socket: --docker-host unix:///var/run/docker.sock',
    exitCode: EXIT_USAGE,
  })
}

/** @throws ExpectedError for kinds of Docker whose files or processes are out of reach, each with its reason. */
export function refuseUnsupported(seen: {
  info: DaemonInfo | undefined
  daemon: DaemonProcess | undefined
  onHost: boolean
}): void {
  const { info, daemon } = seen
  const refuse = (code: string, sentence: string, hint: string): never => {
    throw new ExpectedError(code, sentence, { hint })
  }
  if (info?.operatingSystem.startsWith('Docker Desktop') === true) {
    refuse(
      'DOCKER_DESKTOP',
      'this is Docker Desktop, whose daemon runs in a virtual machine with files and memory of its own',
      'Install Docker Engine on the host itself.',
    )
  }
  if (info?.securityOptions.some((option) => option.includes('name=rootless')) === true) {
    refuse(
      'DOCKER_ROOTLESS',
      'this Docker daemon runs rootless: it may neither register containers with the guard of the host nor be held by it',
      'Install for the Docker daemon of root.',
    )
  }
  const isSnap =
    info?.rootDir.startsWith('/var/snap/') === true ||
    daemon?.executable.startsWith('/snap/') === true ||
    (info === undefined && seen.onHost && resolveProgram('dockerd') === undefined && existsSync('/snap/bin/docker'))
  if (isSnap) {
    refuse(
      'DOCKER_SNAP',
      'this Docker comes from a snap, which shuts it off from runtimes and configuration outside of the snap',
      "Install Docker's deb package (docker-ce or docker.io) instead of the snap.",
    )
  }
  if (info === undefined && seen.onHost && resolveProgram('dockerd') === undefined) {
    refuse(
      'DOCKER_MISSING',
      'Docker is not installed here: there is no dockerd, and no daemon answers',
      'Install Docker Engine first.',
    )
  }
}

/** dockerd refuses to start when a setting is both a flag and in its file. @throws ExpectedError `DOCKER_FLAG_CONFLICT`. */
export function refuseFlagConflicts(daemon: DaemonProcess | undefined, asDefault: boolean): void {
  const args = daemon?.args ?? []
  for (const [flag, key] of [
    ['--add-runtime', 'runtimes'],
    ...(asDefault ? [['--default-runtime', 'default-runtime']] : []),
  ] as const) {
    const value = flagValue(args, flag as string)
    if (value === undefined) continue
    throw new ExpectedError(
      'DOCKER_FLAG_CONFLICT',
      `dockerd (process ${daemon?.identity.pid}) was started with ${flag} ${value}, and would refuse to start again if its configuration file had "${key}" too`,
      { hint: `Move that flag from dockerd's service into the file as "${key}", restart Docker, then install again.` },
    )
  }
}

/**
 * The file that this daemon reads.
 *
 * @throws ExpectedError `DAEMON_JSON_UNREAD` when the running daemon reads another one than asked for.
 */
export function chooseDaemonJson(asked: string | undefined, daemon: DaemonProcess | undefined, prefix: string): string {
  const usual = path.join(prefix === '' ? '/' : prefix, 'etc/docker/daemon.json')
  const read = daemon === undefined ? undefined : (flagValue(daemon.args, '--config-file') ?? '/etc/docker/daemon.json')
  if (asked === undefined) return read ?? usual
  if (read !== undefined && path.resolve(asked) !== path.resolve(read)) {
    throw new ExpectedError(
      'DAEMON_JSON_UNREAD',
      `dockerd (process ${daemon?.identity.pid}) reads ${read}, so a change of ${asked} would be without effect`,
      { hint: `Leave --daemon-json out, or name ${read}.`, exitCode: EXIT_USAGE },
    )
  }
  return path.resolve(asked)
}
