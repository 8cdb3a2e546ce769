import { constants } from 'node:os'
import { ExpectedError } from '../errors.js'
import { readCgroupLayout } from '../host/cgroup.js'
import { formatBytes } from '../plan/size.js'
import { type DemoArguments, demoUsage, parseDemoArguments } from './arguments.js'
import { type Ground, prepareGround } from './ground.js'
import { playScene, type Scene } from './play.js'
import { type DemoReport, renderRemarks, renderTable, type SceneResult } from './report.js'
import { budgetScene } from './scenes/budget.js'
import { guardScene } from './scenes/guard.js'
import { maxScene } from './scenes/max.js'
import { unprotectedScene } from './scenes/unprotected.js'
import { createScreen, type Screen, screenOptionsFor } from './screen.js'
import { createUndoStack, type UndoStack } from './undo.js'

const scenes: readonly Scene[] = [unprotectedScene, budgetScene, maxScene, guardScene]

/** A scene that is interrupted gets this long to notice, before everything under it is taken away. */
const INTERRUPT_PATIENCE_MS = 2_000

const INTERRUPTS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Plays the demo.
 *
 * @returns the exit code: 0 when every scene did what it should, 1 when one did not, 2 for misuse, 128 + n for signal n.
 */
export async function runDemo(argv: string[]): Promise<number> {
  let args: DemoArguments
  try {
    args = parseDemoArguments(argv)
  } catch (error) {
    return complain(error)
  }
  if (args.help) {
    process.stdout.write(demoUsage)
    return 0
  }
  const screen = createScreen(screenOptionsFor(args.json ? process.stderr : process.stdout))
  const undo = createUndoStack()
  const interruption = listenForInterrupts(screen)
  let exitCode: number
  try {
    const playing = play(args, screen, undo, interruption.signal)
    // Once interrupted, what becomes of the scene is of no interest any more.
    playing.catch(() => {})
    const report = await Promise.race([playing, interruption.patienceOver])
    exitCode =
      report === undefined || interruption.signal.aborted ? interruption.exitCode() : finish(report, args, screen)
  } catch (error) {
    exitCode = interruption.signal.aborted ? interruption.exitCode() : complain(error)
  }
  for (const failure of await undo.run()) {
    screen.say(`Could not clean up ${failure}.`)
    exitCode ||= 1
  }
  interruption.close()
  return exitCode
}

async function play(args: DemoArguments, screen: Screen, undo: UndoStack, signal: AbortSignal): Promise<DemoReport> {
  const ground = await prepareGround({ screen, undo, signal, engine: args.engine, machineBytes: args.machineBytes })
  introduce(ground, screen)
  const results: SceneResult[] = []
  for (const [index, scene] of scenes.entries()) {
    signal.throwIfAborted()
    // The first scene shows a machine without any protection.
    if (index === 1) await ground.startGuard()
    results.push(await playScene(scene, ground.stage, `${index + 1}/${scenes.length}`))
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
    scenes: results,
    ok: results.every((result) => result.ok),
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

function finish(report: DemoReport, args: DemoArguments, screen: Screen): number {
  screen.heading('What was seen')
  for (const line of renderTable(report)) screen.say(line)
  for (const remark of renderRemarks(report)) screen.say(remark)
  screen.say(report.ok ? 'Every scene did what it should.' : 'Not every scene did what it should.')
  if (args.json) process.stdout.write(`${JSON.stringify(report)}\n`)
  return report.ok ? 0 : 1
}

interface Interruption {
  readonly signal: AbortSignal
  /** Resolves to undefined some time after the first signal. */
  readonly patienceOver: Promise<undefined>
  exitCode(): number
  close(): void
}

function listenForInterrupts(screen: Screen): Interruption {
  const abort = new AbortController()
  let exitCode = 0
  let timer: NodeJS.Timeout | undefined
  let over: () => void = () => {}
  const patienceOver = new Promise<undefined>((resolve) => {
    over = () => resolve(undefined)
  })
  const onSignal = (name: NodeJS.Signals) => {
    if (abort.signal.aborted) {
      screen.say('Still cleaning up; it takes a few seconds.')
      return
    }
    exitCode = 128 + constants.signals[name]
    abort.abort()
    screen.endPicture()
    screen.say(`\nInterrupted by ${name}; cleaning up.`)
    timer = setTimeout(over, INTERRUPT_PATIENCE_MS)
  }
  for (const name of INTERRUPTS) process.on(name, onSignal)
  return {
    signal: abort.signal,
    patienceOver,
    exitCode: () => exitCode,
    close() {
      clearTimeout(timer)
      for (const name of INTERRUPTS) process.off(name, onSignal)
    },
  }
}

/** Says what went wrong: a sentence for what a person can mend, everything for what is our mistake. */
function complain(error: unknown): number {
  if (error instanceof ExpectedError) {
    process.stderr.write(`demo: ${error.message}\n${error.hint === undefined ? '' : `${error.hint}\n`}`)
    return error.exitCode
  }
  process.stderr.write(`demo: ${error instanceof Error ? error.stack : String(error)}\n`)
  return 70
}
