import { debugWanted } from '../debug-log.js'
import { readCgroupLayout } from '../host/cgroup.js'
import { formatBytes } from '../plan/size.js'
import { type DemoArguments, demoUsage, parseDemoArguments } from './arguments.js'
import { type DemoFailure, describeFailure, describeInterruption } from './failure.js'
import { type Ground, prepareGround } from './ground.js'
import { listenForInterrupts } from './interruption.js'
import { playScene, type Scene } from './play.js'
import { type DemoReport, renderRemarks, renderTable, type SceneResult } from './report.js'
import { budgetScene } from './scenes/budget.js'
import { guardScene } from './scenes/guard.js'
import { maxScene } from './scenes/max.js'
import { unprotectedScene } from './scenes/unprotected.js'
import { createScreen, type Screen, screenOptionsFor } from './screen.js'
import { createUndoStack, type UndoStack } from './undo.js'

const scenes: readonly Scene[] = [unprotectedScene, budgetScene, maxScene, guardScene]

/**
 * Plays the demo.
 *
 * @returns the exit code: 0 when every scene did what it should, 1 when one did not, 2 for misuse, 70 for a mistake of ours,
 *   128 + n for signal n, 141 when nobody reads its output any more.
 */
export async function runDemo(argv: string[]): Promise<number> {
  // Asked for even where the rest cannot be understood.
  const json = argv.includes('--json')
  const screen = createScreen(screenOptionsFor(json ? process.stderr : process.stdout))
  const undo = createUndoStack()
  const interruption = listenForInterrupts(screen)
  const played: SceneResult[] = []
  let report: DemoReport | undefined
  let failure: DemoFailure | undefined
  try {
    const args = parseDemoArguments(argv)
    if (args.help) {
      process.stdout.write(demoUsage)
      return 0
    }
    const playing = play(args, screen, undo, interruption.signal, played)
    // Once interrupted, what becomes of the scene is of no interest any more.
    playing.catch(() => {})
    report = await Promise.race([playing, interruption.patienceOver])
    if (report !== undefined && interruption.cause() === undefined) showResults(report, screen)
  } catch (error) {
    if (interruption.cause() === undefined) {
      failure = describeFailure(error)
      complain(failure, error)
    }
  }
  for (const left of await undo.run()) {
    screen.say(`Could not clean up ${left}.`)
    failure ??= { error: { code: 'NOT_CLEANED_UP', message: `could not clean up ${left}`, hint: null, exit: 1 } }
  }
  const cause = interruption.cause()
  if (cause !== undefined) {
    failure = describeInterruption(cause)
    if (cause.error !== undefined) complain(failure, cause.error)
  }
  if (json) await writeLine({ scenes: played, ...report, ...(failure === undefined ? {} : { ok: false, ...failure }) })
  interruption.close()
  // The line itself may have met a closed pipe.
  return interruption.cause()?.exitCode ?? failure?.error.exit ?? (report?.ok === true ? 0 : 1)
}

async function play(
  args: DemoArguments,
  screen: Screen,
  undo: UndoStack,
  signal: AbortSignal,
  played: SceneResult[],
): Promise<DemoReport> {
  const ground = await prepareGround({ screen, undo, signal, engine: args.engine, machineBytes: args.machineBytes })
  introduce(ground, screen)
  for (const [index, scene] of scenes.entries()) {
    signal.throwIfAborted()
    // The first scene shows a machine without any protection.
    if (index === 1) await ground.startGuard()
    played.push(await playScene(scene, ground.stage, `${index + 1}/${scenes.length}`))
  }
  const { machine, engine } = ground.stage
  return {
    engine,
    ...(ground.engineMissing === undefined ? {} : { engineMissing: ground.engineMissing }),
    machine: {
      memTotalBytes: machine.sizeBytes,
      reserveBytes: machine.reserveBytes,
      cgroup: readCgroupLayout().mode,
      gpu: ground.gpu,
    },
    scenes: played,
    ok: played.every((result) => result.ok),
  }
}

function introduce({ stage, engineMissing, gpu }: Ground, screen: Screen): void {
  const { machine } = stage
  if (engineMissing !== undefined) {
    screen.say(`No container engine: ${engineMissing}.`)
    screen.say(
      'The scenes are played on plain processes: simulator, shim and guard are real, containers and cgroups are not there.',
    )
  }
  screen.say(
    `The machine of this demo: ${formatBytes(machine.sizeBytes)} for CPU and GPU together, ${formatBytes(machine.reserveBytes)} of it reserve.`,
  )
  screen.say(
    `The rest of this host's memory (${formatBytes(machine.withholdBytes)}) is left out of account and out of danger.`,
  )
  screen.say(`The GPU is a ${gpu}; a real one is never used, since the first scene takes all it can get.`)
  screen.say('The engines in it are real programs, and every number below is measured while they run.')
  screen.say(`In the commands, $GPU stands for: ${stage.gpuFlags()}`)
}

function showResults(report: DemoReport, screen: Screen): void {
  screen.heading('What was seen')
  for (const line of renderTable(report)) screen.say(line)
  for (const remark of renderRemarks(report)) screen.say(remark)
  screen.say(report.ok ? 'Every scene did what it should.' : 'Not every scene did what it should.')
}

/** One JSON object as the last line of stdout, written before we go on. */
function writeLine(line: unknown): Promise<void> {
  return new Promise((resolve) => process.stdout.write(`${JSON.stringify(line)}\n`, () => resolve()))
}

/** Says what went wrong, in a sentence; where it happened only for somebody who asked. */
function complain({ error: { message, hint } }: DemoFailure, error: unknown): void {
  process.stderr.write(`demo: ${message}\n${hint === null ? '' : `${hint}\n`}`)
  if (debugWanted() && error instanceof Error) process.stderr.write(`${error.stack}\n`)
}
