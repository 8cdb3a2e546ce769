import path from 'node:path'
import { EXIT_USAGE, ExpectedError } from '../errors.js'

/** Every place on the host that spark-run owns (design section 7). All absolute. */
export interface HostPaths {
  /** The prefix all others were built from; empty on a real host. */
  readonly prefix: string
  readonly libDir: string
  readonly etcDir: string
  readonly policyFile: string
  readonly planFile: string
  /** Kill switch: while this file exists, spark-runtime applies nothing. */
  readonly disabledFile: string
  readonly runDir: string
  readonly registryDir: string
  readonly ledgerDir: string
  readonly tombstoneDir: string
  readonly guardLockFile: string
  readonly guardStateFile: string
  readonly logDir: string
  readonly eventsFile: string
  /** What `install` changed and where, for `uninstall`. */
  readonly stateDir: string
  readonly installRecordFile: string
}

/**
 * Places under `prefix`: empty for the real host, a temporary directory for tests and the demo.
 *
 * @throws ExpectedError `PREFIX_RELATIVE` when the prefix is neither empty nor absolute.
 */
export function hostPaths(prefix: string = process.env.SPARK_RUN_PREFIX ?? ''): HostPaths {
  if (prefix !== '' && !path.isAbsolute(prefix)) {
    throw new ExpectedError('PREFIX_RELATIVE', `SPARK_RUN_PREFIX is ${prefix}, allowed: an absolute path, or nothing`, {
      exitCode: EXIT_USAGE,
    })
  }
  const at = (...parts: string[]) => path.join(prefix === '' ? '/' : prefix, ...parts)
  const etcDir = at('etc/spark-run')
  const runDir = at('run/spark-run')
  const logDir = at('var/log/spark-run')
  const stateDir = at('var/lib/spark-run')
  return {
    prefix,
    libDir: at('usr/lib/spark-run'),
    etcDir,
    policyFile: path.join(etcDir, 'config.json'),
    planFile: path.join(etcDir, 'plan.json'),
    disabledFile: path.join(etcDir, 'disabled'),
    runDir,
    registryDir: path.join(runDir, 'containers'),
    ledgerDir: path.join(runDir, 'ledgers'),
    tombstoneDir: path.join(runDir, 'tombstones'),
    guardLockFile: path.join(runDir, 'guard.lock'),
    guardStateFile: path.join(runDir, 'guard.state'),
    logDir,
    eventsFile: path.join(logDir, 'events.jsonl'),
    stateDir,
    installRecordFile: path.join(stateDir, 'install.json'),
  }
}
