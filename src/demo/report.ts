import { formatBytes } from '../plan/size.js'

export type SceneName = 'unprotected' | 'budget' | 'max' | 'guard'

/** What happened in one scene; every number was observed. Null: this scene, or this stage, has no such number. */
export interface SceneResult {
  name: SceneName
  /** Why the scene was not played; undefined when it was. */
  skipped?: string
  exitCode: number | null
  /** What the engine said it was told about its memory. */
  engineSaw: { totalBytes: number; freeBytes: number } | null
  peakDriverBytes: number | null
  /** Highest charge of the container's memory cgroup, which is what `docker stats` and limits go by. */
  cgroupPeakBytes: number | null
  minAvailableBytes: number | null
  /** What programs that are not of the scene took of the machine, or gave back to it, at most. */
  othersTookBytes: number | null
  othersGaveBackBytes: number | null
  killedBy: string | null
  bystanderAlive: boolean | null
  /** What `docker stats` said while the engine held its memory. */
  statsBytes?: number | null
  /** Requests that the engine was refused. */
  refusals?: number
  /** The guard's words, and whether the dead engine's own log has them. */
  sentence?: string | null
  sentenceInLog?: boolean
  /** It is the second try: at the first one, others had moved too much memory. */
  repeated?: boolean
  ok: boolean
  /** What was not as it should be, one sentence each. */
  complaints: string[]
}

export interface DemoReport {
  engine: 'docker' | 'none'
  /** Why no engine was used; undefined with one. */
  engineMissing?: string
  machine: { memTotalBytes: number; reserveBytes: number; cgroup: string; gpu: string }
  scenes: SceneResult[]
  ok: boolean
}

/** The result of a scene that cannot be played here. */
export function skippedScene(name: SceneName, reason: string): SceneResult {
  return {
    name,
    skipped: reason,
    exitCode: null,
    engineSaw: null,
    peakDriverBytes: null,
    cgroupPeakBytes: null,
    minAvailableBytes: null,
    othersTookBytes: null,
    othersGaveBackBytes: null,
    killedBy: null,
    bystanderAlive: null,
    ok: false,
    complaints: [],
  }
}

const COLUMNS = ['SCENE', 'ENGINE SAW', 'DRIVER PEAK', 'CGROUP PEAK', 'LOWEST AVAILABLE', 'EXIT', 'RESULT'] as const

const size = (bytes: number | null | undefined) => (bytes === null || bytes === undefined ? '-' : formatBytes(bytes))

function resultCell(scene: SceneResult): string {
  if (scene.skipped !== undefined) return 'skipped'
  if (!scene.ok) return 'not as it should be'
  if (scene.name === 'unprotected') return 'as feared'
  return scene.killedBy === null ? 'held' : `killed by ${scene.killedBy}, bystander alive`
}

/** The closing table, in the form of Docker's own: upper-case heads, three spaces between. */
export function renderTable(report: DemoReport): string[] {
  const rows: string[][] = [
    [...COLUMNS],
    ...report.scenes.map((scene) => [
      scene.name,
      size(scene.engineSaw?.totalBytes),
      size(scene.peakDriverBytes),
      size(scene.cgroupPeakBytes),
      scene.minAvailableBytes === null
        ? '-'
        : `${size(scene.minAvailableBytes)}${scene.minAvailableBytes < report.machine.reserveBytes ? ' !' : ''}`,
      scene.exitCode === null ? '-' : String(scene.exitCode),
      resultCell(scene),
    ]),
  ]
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('   ')
      .trimEnd(),
  )
}

/** What follows the table: what `!` means, and everything that was not as it should be. */
export function renderRemarks(report: DemoReport): string[] {
  const { scenes, machine } = report
  const remarks: string[] = []
  if (scenes.some((scene) => (scene.minAvailableBytes ?? machine.reserveBytes) < machine.reserveBytes)) {
    remarks.push(`! = MemAvailable was under the reserve of ${formatBytes(machine.reserveBytes)}`)
  }
  const past = scenes.find(
    ({ name, engineSaw }) => name === 'guard' && (engineSaw?.totalBytes ?? 0) > machine.memTotalBytes,
  )
  if (past !== undefined) {
    remarks.push('guard: that engine asks the kernel, past every library, and so it saw this host itself')
  }
  for (const scene of scenes) {
    if (scene.repeated === true)
      remarks.push(`${scene.name} was played twice, since others moved memory the first time`)
    if (scene.skipped !== undefined) remarks.push(`${scene.name} was skipped: ${scene.skipped}`)
    for (const complaint of scene.complaints) remarks.push(`${scene.name}: ${complaint}`)
  }
  if (report.engine === 'none') {
    remarks.push('Played on plain processes: there were no containers, no memory cgroups and no limits by the kernel.')
  }
  return remarks
}
