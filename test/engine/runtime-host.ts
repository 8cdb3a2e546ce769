import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { nativeBuildDir } from '../../src/host/package-files.js'
import { hostPaths } from '../../src/host/paths.js'

export const MIB = 1024 ** 2
const BUSYBOX = '/bin/busybox'
/** Path of a program, empty for none. */
export const found = (program: string) =>
  spawnSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).stdout.trim()

/** Reason why no container can be run here by the built programs, or undefined. */
export const missing =
  process.getuid?.() !== 0
    ? 'not root'
    : !existsSync(path.join(nativeBuildDir(), 'spark-runtime'))
      ? 'native/build has no spark-runtime: npm run build'
      : !existsSync(BUSYBOX)
        ? `no ${BUSYBOX}`
        : undefined

interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export type TestHost = ReturnType<typeof makeHost>

/** A host under a temporary prefix: the built programs, a plan, somebody who plays the guard. */
export function makeHost(nextRuntime: string) {
  const prefix = mkdtempSync(path.join(tmpdir(), 'spark-engine-'))
  const paths = hostPaths(prefix)
  for (const dir of [paths.libDir, paths.etcDir, paths.runDir, paths.logDir]) mkdirSync(dir, { recursive: true })
  cpSync(path.join(nativeBuildDir(), 'spark-runtime'), path.join(paths.libDir, 'spark-runtime'))
  linkSync(path.join(paths.libDir, 'spark-runtime'), path.join(paths.libDir, 'spark-hook'))
  writeFileSync(path.join(paths.libDir, 'ledger'), '')
  const memTotalBytes = Number(/MemTotal:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]) * 1024
  const reserveBytes = 256 * MIB
  writeFileSync(paths.planFile, JSON.stringify(plan(paths, nextRuntime, reserveBytes)))
  const guard: ChildProcess = spawn('flock', ['--no-fork', paths.guardLockFile, 'sleep', '600'], { stdio: 'ignore' })
  while (spawnSync('flock', ['--nonblock', '--shared', paths.guardLockFile, 'true']).status === 0) {
    spawnSync('sleep', ['0.02'])
  }

  const program = path.join(paths.libDir, 'spark-runtime')
  const globals = [`--spark-plan=${paths.planFile}`, '--root', path.join(prefix, 'root')]
  const runtime = (...args: string[]): Outcome => {
    // Files, since create leaves the container holding its stdio: a pipe would wait for the container.
    const out = path.join(prefix, 'stdout')
    const err = path.join(prefix, 'stderr')
    const script = `exec "$@" >${out} 2>${err} </dev/null`
    const { status } = spawnSync('sh', ['-c', script, 'sh', program, ...globals, ...args], { timeout: 60_000 })
    return { status, stdout: readFileSync(out, 'utf8'), stderr: readFileSync(err, 'utf8') }
  }
  return {
    paths,
    shareBytes: memTotalBytes - reserveBytes,
    runtime,
    runtimeAsync: (...args: string[]) =>
      new Promise<Outcome>((resolve) => {
        const err = path.join(prefix, `stderr-${args.at(-1)}`)
        const child = spawn('sh', [
          '-c',
          `exec "$@" >/dev/null 2>${err} </dev/null`,
          'sh',
          program,
          ...globals,
          ...args,
        ])
        child.on('close', (status) => resolve({ status, stdout: '', stderr: readFileSync(err, 'utf8') }))
      }),
    /** The entry's lines as they are, so that a reader's mistake cannot hide a writer's. */
    registryEntry: (id: string): Record<string, string> =>
      Object.fromEntries(
        readFileSync(path.join(paths.registryDir, id), 'utf8')
          .trimEnd()
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
      ),
    waitUntilStopped: (id: string) => {
      for (let attempt = 0; attempt < 200; attempt++) {
        if (JSON.parse(runtime('state', id).stdout).status === 'stopped') return
        spawnSync('sleep', ['0.05'])
      }
      throw new Error(`${id} did not stop within 10 s`)
    },
    /** `rootOnHost`: who the container's root is on the host; other than 0 gives it a user namespace. */
    makeBundle: (id: string, { env = [] as string[], args = ['sleep', '600'], rootOnHost = 0 } = {}) => {
      const bundle = path.join(prefix, 'bundles', id)
      const rootfs = path.join(bundle, 'rootfs')
      for (const dir of ['bin', 'etc', 'proc', 'dev', 'sys', 'usr/lib'])
        mkdirSync(path.join(rootfs, dir), { recursive: true })
      cpSync(BUSYBOX, path.join(rootfs, 'bin/busybox'))
      for (const applet of ['sh', 'cat', 'sleep', 'head', 'touch', 'true'])
        symlinkSync('busybox', path.join(rootfs, 'bin', applet))
      writeFileSync(path.join(rootfs, 'etc/ld.so.preload'), '/opt/of-the-image.so\n')
      writeFileSync(path.join(bundle, 'config.json'), config(args, env, rootOnHost))
      if (rootOnHost !== 0) {
        chmodSync(prefix, 0o711)
        spawnSync('chown', ['-R', `${rootOnHost}:${rootOnHost}`, rootfs])
      }
      return bundle
    },
    /** Ends and deletes every container that is still there, whatever a test left. */
    deleteAll: () => {
      const root = path.join(prefix, 'root')
      for (const id of existsSync(root) ? readdirSync(root) : []) runtime('delete', '--force', id)
    },
    close: () => {
      guard.kill('SIGKILL')
      rmSync(prefix, { recursive: true, force: true })
    },
  }
}

/** Written by hand, since JSON.stringify cannot write RLIM_INFINITY. */
function config(args: string[], env: string[], rootOnHost: number): string {
  const map = `[{"containerID": 0, "hostID": ${rootOnHost}, "size": 65536}]`
  const mappings = rootOnHost === 0 ? '' : `, "uidMappings": ${map}, "gidMappings": ${map}`
  const userNamespace = rootOnHost === 0 ? '' : ', {"type": "user"}'
  return `{
    "ociVersion": "1.0.2",
    "process": {
      "user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ${JSON.stringify(args)},
      "env": ${JSON.stringify(['PATH=/bin', ...env])},
      "rlimits": [{"type": "RLIMIT_CPU", "hard": 18446744073709551615, "soft": 18446744073709551615}]
    },
    "root": {"path": "rootfs"},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
    "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}${userNamespace}]${mappings}}
  }`
}

function plan(paths: ReturnType<typeof hostPaths>, nextRuntime: string, reserveBytes: number) {
  const hook = (hookName: string) => ({
    hookName,
    path: path.join(paths.libDir, 'spark-hook'),
    args: ['spark-hook', hookName, '--plan', paths.planFile],
    env: ['PATH=/usr/bin:/bin'],
    timeout: 10,
  })
  return {
    planVersion: 1,
    nextRuntime,
    paths: { libDir: paths.libDir, runDir: paths.runDir, logDir: paths.logDir },
    host: { reserveBytes, withholdBytes: 0 },
    budget: {
      defaultBytes: 128 * MIB,
      maxBytes: null,
      minBytes: MIB,
      wishes: [{ env: 'SPARK_RUN_BUDGET', unitBytes: 1 }],
    },
    onGuardMissing: 'refuse',
    cgroup: { limitMemory: true, oomScoreAdj: 500 },
    containerEdits: {
      // biome-ignore lint/suspicious/noTemplateCurlyInString: a placeholder of the plan
      env: [{ unlessEnv: [], env: ['ENGINE_BYTES=${engine_bytes}'] }],
      mounts: [
        { hostPath: paths.libDir, containerPath: '/usr/lib/spark-run', options: ['rbind', 'ro', 'nosuid', 'nodev'] },
        {
          // biome-ignore lint/suspicious/noTemplateCurlyInString: a placeholder of the plan
          hostPath: '${ledger}',
          containerPath: '/usr/lib/spark-run/ledger',
          options: ['bind', 'rw', 'nosuid', 'nodev', 'noexec'],
        },
      ],
      preload: '/usr/lib/spark-run/libspark-shim.so',
      hooks: [hook('prestart'), hook('createRuntime'), hook('poststop')],
    },
  }
}
