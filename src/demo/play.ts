import { setTimeout as sleep } from 'node:timers/promises'
import { formatBytes } from '../plan/size.js'
import { drawCourse } from './draw.js'
import { type EngineTalk, otherWords, parseEngineTalk } from './engine-talk.js'
import { type SceneName, type SceneResult, skippedScene } from './report.js'
import type { Observation } from './sample.js'
import type { Actor, Performance, Stage } from './stage.js'

/** What a scene finds out by itself; the observer adds the rest. */
type SceneFindings = Omit<
  SceneResult,
  'name' | 'peakDriverBytes' | 'cgroupPeakBytes' | 'minAvailableBytes' | 'ok' | 'complaints'
> & {
  /** What happened, in sentences for the reader. */
  story: string[]
}

export interface Scene {
  readonly name: SceneName
  readonly title: string
  /** What to look at, said before it begins. */
  lookAt(stage: Stage): string[]
  /** The engines without which it cannot be played. */
  readonly actors: readonly Actor[]
  act(stage: Stage): Promise<SceneFindings>
  /** What is not as it should be, one sentence each. */
  judge(result: SceneResult, stage: Stage): string[]
}

/** Memory of the scene before that has not come back by then will not come back for this one either. */
const SETTLE_DEADLINE_MS = 10_000

/** No engine of the demo works longer than this. */
const ENGINE_DEADLINE_MS = 60_000

const POLL_MS = 50

/** Plays one scene: says what to look at, watches it, tells what happened, and judges it by what was observed. */
export async function playScene(scene: Scene, stage: Stage, label: string): Promise<SceneResult> {
  const { screen } = stage
  screen.heading(`${label}  ${scene.title}`)
  for (const line of scene.lookAt(stage)) screen.say(`  ${line}`)
  const missing = scene.actors.map((actor) => stage.whyNot(actor)).find((reason) => reason !== undefined)
  if (missing !== undefined) {
    screen.say(`  Skipped: ${missing}.`)
    return skippedScene(scene.name, missing)
  }
  await settle(stage)
  const { findings, observation } = await watch(scene, stage)
  const { story, ...found } = findings
  const result: SceneResult = {
    name: scene.name,
    ...found,
    peakDriverBytes: observation.peakDriverBytes,
    cgroupPeakBytes: stage.engine === 'none' ? null : observation.cgroupPeakBytes,
    minAvailableBytes: observation.minAvailableBytes,
    ok: false,
    complaints: [],
  }
  result.complaints = scene.judge(result, stage)
  result.ok = result.complaints.length === 0
  sayCourse(stage, observation)
  for (const line of story) screen.say(`  ${line}`)
  for (const complaint of result.complaints) screen.say(`  Not as it should be: ${complaint}.`)
  return result
}

async function watch(scene: Scene, stage: Stage) {
  const { screen, machine, observer } = stage
  stage.beginScene()
  observer.begin()
  observer.onSample((sample) => screen.show(sample, machine, stage.cgroupName))
  try {
    const findings = await scene.act(stage)
    return { findings, observation: await observer.finish() }
  } finally {
    observer.onSample(undefined)
    screen.endPicture()
  }
}

function sayCourse({ screen, machine }: Stage, observation: Observation): void {
  const { course, looks, longestGapMs, minAvailableBytes } = observation
  const seconds = ((course.at(-1)?.ms ?? 0) / 1000).toFixed(1)
  screen.say(`  MemAvailable    ${drawCourse(course, machine)}  lowest ${formatBytes(minAvailableBytes)}`)
  screen.say(`  ${' '.repeat(15)} ${seconds} s, looked at ${looks} times, at most ${Math.ceil(longestGapMs)} ms apart`)
}

/** Waits until the memory of the scene before is back. */
async function settle(stage: Stage): Promise<void> {
  const deadline = Date.now() + SETTLE_DEADLINE_MS
  while (Date.now() < deadline && stage.freeShare() < 0.9) await sleep(POLL_MS, undefined, { signal: stage.signal })
}

/** Shows the command of an engine that was started, as a person would have typed it. */
export function sayCommand({ screen }: Stage, performance: Performance): void {
  screen.say(`  $ ${performance.command}`)
}

/** Waits until the engine's talk is as wanted, it has ended, or the deadline has passed. */
export async function waitForTalk(
  stage: Stage,
  performance: Performance,
  wanted: (talk: EngineTalk) => boolean,
): Promise<void> {
  const deadline = Date.now() + ENGINE_DEADLINE_MS
  while (Date.now() < deadline && !performance.hasExited() && !wanted(parseEngineTalk(performance.output()))) {
    await sleep(POLL_MS, undefined, { signal: stage.signal })
  }
}

/**
 * Waits for the engine's end, and ends it when that takes too long. One that ended badly gets its words on the screen.
 *
 * @returns its exit code, or null when it had to be ended.
 */
export async function waitForExit(stage: Stage, performance: Performance): Promise<number | null> {
  const deadline = Date.now() + ENGINE_DEADLINE_MS
  while (!performance.hasExited() && Date.now() < deadline) {
    await sleep(POLL_MS, undefined, { signal: stage.signal })
  }
  const inTime = performance.hasExited()
  if (!inTime) await performance.end()
  const exitCode = inTime ? await performance.exited : null
  if (exitCode !== 0) {
    for (const line of otherWords(performance.output()).slice(-5)) stage.screen.say(`  > ${line}`)
  }
  return exitCode
}

/** What must be true of every engine that is held by its budget. */
export function judgeHeld(result: SceneResult, { machine }: Stage): string[] {
  const { exitCode, engineSaw, peakDriverBytes, minAvailableBytes } = result
  const peak = peakDriverBytes ?? 0
  const complaints: string[] = []
  if (exitCode !== 0) complaints.push(`the engine ended with exit code ${exitCode}`)
  if (engineSaw === null) complaints.push('the engine never said what it saw')
  else if (engineSaw.totalBytes > machine.budgetBytes) {
    complaints.push(
      `the engine saw ${formatBytes(engineSaw.totalBytes)}, more than its budget of ${formatBytes(machine.budgetBytes)}`,
    )
  }
  if (peak > machine.budgetBytes) {
    complaints.push(`the driver gave ${formatBytes(peak)}, more than the budget of ${formatBytes(machine.budgetBytes)}`)
  }
  if (peak < machine.budgetBytes / 4) {
    complaints.push(`the engine got only ${formatBytes(peak)} of its budget of ${formatBytes(machine.budgetBytes)}`)
  }
  if ((minAvailableBytes ?? 0) < machine.reserveBytes) {
    complaints.push(
      `MemAvailable was down to ${formatBytes(minAvailableBytes ?? 0)}, under the reserve of ${formatBytes(machine.reserveBytes)}`,
    )
  }
  return complaints
}
