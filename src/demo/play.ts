import { setTimeout as sleep } from 'node:timers/promises'
import { ExpectedError } from '../errors.js'
import { formatBytes } from '../plan/size.js'
import { drawCourse } from './draw.js'
import { type Drift, isNotable, notableDriftBytes } from './drift.js'
import { type EngineTalk, otherWords, parseEngineTalk } from './engine-talk.js'
import { type SceneName, type SceneResult, skippedScene } from './report.js'
import type { Observation } from './sample.js'
import type { Actor, Performance, Stage } from './stage.js'

/** What a scene finds out by itself; the observer adds the rest. */
type SceneFindings = Omit<
  SceneResult,
  'name' | 'peakDriverBytes' | 'cgroupPeakBytes' | 'minAvailableBytes' | 'ok' | 'complaints' | keyof Drift
> & {
  /** What happened, in sentences for the reader, none of which says more than was observed. */
  tell(seen: Pick<Observation, 'minAvailableBytes'>): string[]
}

export interface Scene {
  readonly name: SceneName
  readonly title: string
  /** What to look at, said before it begins. */
  lookAt(stage: Stage): string[]
  /** The engines without which it cannot be played. */
  readonly actors: readonly Actor[]
  /** Plays it; the names of its containers come from `nameOf`, so that it can be played again. */
  act(stage: Stage, nameOf: (name: string) => string): Promise<SceneFindings>
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
  const first = await playOnce(scene, stage, (name) => name)
  if (first.ok || !isNotable(first, stage.machine.sizeBytes)) return first
  screen.say('  Others moved memory while this scene was played, so it is played once more.')
  return { ...(await playOnce(scene, stage, (name) => `${name}-again`)), repeated: true }
}

async function playOnce(scene: Scene, stage: Stage, nameOf: (name: string) => string): Promise<SceneResult & Drift> {
  const { screen } = stage
  await settle(stage)
  const { findings, observation, refusal } = await watch(scene, stage, nameOf)
  const { tell, ...found } = findings
  const result: SceneResult & Drift = {
    name: scene.name,
    ...found,
    peakDriverBytes: observation.peakDriverBytes,
    cgroupPeakBytes: stage.engine === 'none' ? null : observation.cgroupPeakBytes,
    minAvailableBytes: observation.minAvailableBytes,
    othersTookBytes: observation.othersTookBytes,
    othersGaveBackBytes: observation.othersGaveBackBytes,
    ok: false,
    complaints: [],
  }
  result.complaints = refusal === undefined ? scene.judge(result, stage) : [refusal]
  result.ok = result.complaints.length === 0
  sayCourse(stage, observation)
  for (const line of [...tell(observation), ...tellDrift(observation, stage.machine.sizeBytes)]) screen.say(`  ${line}`)
  for (const complaint of result.complaints) screen.say(`  Not as it should be: ${complaint}.`)
  return result
}

/** What to say of memory that is not the scene's. */
export function tellDrift({ othersTookBytes, othersGaveBackBytes }: Drift, sizeBytes: number): string[] {
  const moved = (did: string, bytes: number) =>
    bytes < notableDriftBytes(sizeBytes)
      ? []
      : [`Note: other programs of this host ${did} ${formatBytes(bytes)} meanwhile.`]
  return [...moved('took', othersTookBytes), ...moved('gave back', othersGaveBackBytes)]
}

const NOTHING_FOUND: SceneFindings = {
  exitCode: null,
  engineSaw: null,
  killedBy: null,
  bystanderAlive: null,
  tell: () => [],
}

async function watch(scene: Scene, stage: Stage, nameOf: (name: string) => string) {
  const { screen, machine, observer } = stage
  stage.beginScene()
  observer.begin()
  observer.onSample((sample) => screen.show(sample, machine, stage.cgroupName))
  let findings = NOTHING_FOUND
  let refusal: string | undefined
  try {
    findings = await scene.act(stage, nameOf)
  } catch (error) {
    // A scene that cannot go on is judged like one that went wrong; the others can still be played.
    if (!(error instanceof ExpectedError)) throw error
    refusal = error.message
  } finally {
    observer.onSample(undefined)
    screen.endPicture()
  }
  return { findings, refusal, observation: await observer.finish() }
}

function sayCourse({ screen, machine }: Stage, observation: Observation): void {
  const { course, looks, longestGapMs, minAvailableBytes } = observation
  const seconds = ((course.at(-1)?.ms ?? 0) / 1000).toFixed(1)
  screen.say(`  MemAvailable    ${drawCourse(course, machine)}  lowest ${formatBytes(minAvailableBytes)}`)
  screen.say(`  ${' '.repeat(15)} ${seconds} s, looked at ${looks} times, at most ${Math.ceil(longestGapMs)} ms apart`)
}

/** Waits until the memory of the scene before is back, and no more of it comes; of others', too, in the hope that they end soon. */
async function settle(stage: Stage): Promise<void> {
  const deadline = Date.now() + SETTLE_DEADLINE_MS
  let before = 0
  for (let share = stage.freeShare(); Date.now() < deadline; share = stage.freeShare()) {
    if (share >= 0.9 && share <= 1.1 && share - before < 0.01) return
    before = share
    await sleep(POLL_MS, undefined, { signal: stage.signal })
  }
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
