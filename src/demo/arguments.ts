import { parseArgs } from 'node:util'
import { EXIT_USAGE, ExpectedError } from '../errors.js'
import { parseSize } from '../plan/size.js'

export interface DemoArguments {
  help: boolean
  /** One JSON object as the last line of stdout; the talk goes to stderr. */
  json: boolean
  /** Docker, plain processes, or (undefined) Docker where it can run. */
  engine: 'docker' | 'none' | undefined
  /** Size of the rehearsed machine; undefined = as large as is safe. */
  machineBytes: number | undefined
}

export const demoUsage = `usage: npm run demo [-- --json] [--machine SIZE] [--engine docker|none]

  --json            print one JSON object as the last line of stdout; the talk goes to stderr
  --machine SIZE    size of the rehearsed machine, for example 2g (default: 4g, at most a quarter of MemAvailable)
  --engine ENGINE   docker: a private Docker daemon, or fail; none: plain processes (default: docker where it can run)
`

/** @throws ExpectedError (exit code 2) for anything that is not in {@link demoUsage}. */
export function parseDemoArguments(argv: string[]): DemoArguments {
  const usage = (message: string) =>
    new ExpectedError('DEMO_USAGE', message, { exitCode: EXIT_USAGE, hint: demoUsage.trimEnd() })
  let values: { help?: boolean; json?: boolean; engine?: string; machine?: string }
  try {
    values = parseArgs({
      args: argv,
      options: {
        help: { type: 'boolean', short: 'h' },
        json: { type: 'boolean' },
        engine: { type: 'string' },
        machine: { type: 'string' },
      },
    }).values
  } catch (error) {
    throw usage((error as Error).message.split('. ')[0] as string)
  }
  const { engine } = values
  if (engine !== undefined && engine !== 'docker' && engine !== 'none') {
    throw usage(`--engine ${JSON.stringify(engine)} is not known: it is docker or none`)
  }
  return {
    help: values.help ?? false,
    json: values.json ?? false,
    engine,
    machineBytes: values.machine === undefined ? undefined : parseSize(values.machine, { what: '--machine' }),
  }
}
