/** What a debug line may hold: an allow-list by shape, so that no argv and no environment with a token in it gets there. */
export interface DebugFields {
  readonly engine?: string
  /** The engine's verb alone, never its arguments. */
  readonly verb?: string
  readonly container?: string
  readonly exitCode?: number
  readonly durationMs?: number
  readonly file?: string
}

/** True when the person asked for the debug log: `SPARK_RUN_DEBUG=1`. */
export function debugWanted(environment: Readonly<NodeJS.ProcessEnv> = process.env): boolean {
  return environment.SPARK_RUN_DEBUG === '1'
}

/**
 * Writes one JSON line to stderr when the debug log is wanted, and costs nothing when it is not: pino is loaded at the first
 * line. Synchronous, because a line that is still in a buffer when the process dies is the one that was needed.
 */
export async function debug(message: string, fields: DebugFields = {}): Promise<void> {
  if (!debugWanted()) return
  logger ??= import('pino').then(({ pino, destination }) =>
    pino({ name: 'spark-run', level: 'debug', base: { pid: process.pid } }, destination({ dest: 2, sync: true })),
  )
  const log = await logger
  log.debug(fields, message)
}

let logger: Promise<import('pino').Logger> | undefined
