import { setTimeout as sleep } from 'node:timers/promises'
import { formatBytes } from '../plan/size.js'
import { drawCourse } from './draw.js'
import { type SceneName, type SceneResult, skippedScene } from './report.js'
import type { Observation } from './sample.js'
import type { Actor, Performance, Stage } from './stage.js'

/** What a scene finds out by itself; the observer adds the rest. */
export type SceneFindings = Pick<SceneResult, 'exitCode' | 'engineSaw' | 'killedBy' | 'bystanderAlive'> & {
  /** What happened, in sentences for the reader. */
  story: string[]
}

export interface Scene {
  name: SceneName
  title: string
  /** What to look at, said before it begins. */
  lookAt: string[]
  /** The engines without which it cannot be played. */
  actors: Actor[]
  act(stage: Stage): Promise<SceneFindings>
  /** What is not as it should be, one sentence each. */
  judge(result: SceneResult, stage: Stage, observation: Observation): string[]
}

/** Memory of the last scene that has not come back by then will not come back for the next one either. */
const SETTLE_DEADLINE_MS = 10_000

/** Plays one scene: says what to look at, watches it, tells what happened, and judges it by what was observed. */
export async function playScene(scene: Scene, stage: Stage, label: string): Promise<SceneResult> {
  const { screen, machine, observer } = stage
  const scale = { sizeBytes: machine.sizeBytes, reserveBytes: machine.reserveBytes }
  screen.heading(`${label}  ${scene.title}`)
  for (const line of scene.lookAt) screen.say(`  ${line}`)
  const missing = scene.actors.map((actor) => stage.whyNot(actor)).find((reason) => reason !== undefined)
  if (missing !== undefined) {
    screen.say(`  Skipped: ${missing}.`)
    return skippedScene(scene.name, missing)
  }

  await settle(stage)
  observer.begin()
  observer.onSample((sample) => screen.show(sample, scale, stage.cgroupName))
  let findings: SceneFindings
  let observation: Observation
  try {
    findings = await scene.act(stage)
  } finally {
    observer.onSample(undefined)
    observation = await observer.finish()
    screen.endPicture()
  }
  stage.signal.throwIfAborted()

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
  result.complaints = scene.judge(result, stage, observation)
  result.ok = result.complaints.length === 0
  screen.say(
    `  MemAvailable    ${drawCourse(observation.course, scale)}  lowest ${formatBytes(result.minAvailableBytes ?? 0)}`,
  )
  screen.say(`  ${' '.repeat(15)} ${describeWatch(observation)}`)
  for (const line of [...story, ...result.complaints.map((complaint) => `Not as it should be: ${complaint}.`)]) {
    screen.say(`  ${line}`)
  }
  return result
}

function describeWatch({ course, looks, longestGapMs }: Observation): string {
  const seconds = ((course.at(-1)?.ms ?? 0) / 1000).toFixed(1)
  return `${seconds} s, ${looks} looks, never more than ${Math.ceil(longestGapMs)} ms apart`
}

/** Waits until the memory of the scene before is back. */
async function settle(stage: Stage): Promise<void> {
  const deadline = Date.now() + SETTLE_DEADLINE_MS
  while (Date.now() < deadline && stage.freeShare() < 0.9) {
    await sleep(100, undefined, { signal: stage.signal })
  }
}

/** Waits for the engine's end, but no longer than `deadlineMs`; then it is ended. */
export async function waitForExit(
  performance: Performance,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<number | null> {
  const timer = new AbortController()
  const stop = AbortSignal.any([timer.signal, signal])
  const code = await Promise.race([performance.exited, sleep(deadlineMs, null, { signal: stop }).catch(() => null)])
  timer.abort()
  if (code === null) await performance.end()
  return code
}
