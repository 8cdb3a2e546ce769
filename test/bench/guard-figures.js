// From single runs to the rows that bench:guard prints. Pure.

/** The smallest value that at least `share` of the values do not exceed (nearest rank); null of none. */
export function quantile(values, share) {
  if (values.length === 0) return null
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]
}

const round = (value, digits) => (value === null ? null : Number(value.toFixed(digits)))

const spread = (values) => ({
  p50: round(quantile(values, 0.5), 3),
  p99: round(quantile(values, 0.99), 3),
  max: round(quantile(values, 1), 3),
})

/**
 * One row. A run: {killMs: from the crossing to SIGKILL, endMs: to the end of the last step (both null = it did not die in time), depthBytes, wrongVictims, beforeCrossing, floor}.
 *
 * A kill before the line was crossed counts as 0 ms (or what it is, where the line was still crossed after it) and is counted besides.
 * Runs whose guilty one was not killed in time have no killMs: `missed` counts them, and their depth is what was seen until then.
 */
export function computeRow({ scenario, tool, settings }, runs, rest) {
  const killed = runs.filter((run) => run.killMs !== null)
  const depths = runs.map((run) => run.depthBytes)
  return {
    scenario,
    tool,
    settings,
    runs: runs.length,
    killMs: spread(killed.map((run) => run.killMs)),
    endMs: spread(killed.map((run) => run.endMs)),
    depthBytes: { p50: quantile(depths, 0.5), max: quantile(depths, 1) },
    wrongVictims: runs.reduce((sum, run) => sum + run.wrongVictims, 0),
    restCpuPercent: round(rest.cpuPercent, 3),
    rssBytes: rest.rssBytes,
    missed: runs.length - killed.length,
    beforeCrossing: runs.filter((run) => run.beforeCrossing).length,
    endedByFloor: runs.filter((run) => run.floor).length,
  }
}

/** Whether a row of spark-guard keeps the goal: p99 at most 5 ms, at most a tenth of the best other's depth, nobody else killed. */
export function judgeScenario(rows, scenario, settings) {
  const measured = rows.filter((row) => row.scenario === scenario && row.skipped === undefined)
  const ours = measured.find((row) => row.tool === 'spark-guard' && row.settings === settings)
  if (ours === undefined) return null
  // One that does not kill the guilty, or kills others, did not hold the line: its depth is no measure.
  const others = measured.filter((row) => row.tool !== 'spark-guard' && row.missed === 0 && row.wrongVictims === 0)
  const bestOther = others.length === 0 ? null : Math.min(...others.map((row) => row.depthBytes.max))
  return {
    scenario,
    settings,
    p99Kept: ours.missed === 0 && ours.killMs.p99 !== null && ours.killMs.p99 <= 5,
    depthKept: bestOther === null ? null : ours.depthBytes.max <= bestOther / 10,
    bestOtherDepthBytes: bestOther,
    noWrongVictims: ours.wrongVictims === 0,
  }
}

const mib = (bytes) => (bytes === null ? '-' : (bytes / 1024 ** 2).toFixed(0))
const ms = (value) => (value === null ? '-' : value.toFixed(1))

/** The rows as a table for people. */
export function formatRows(rows) {
  const head = ['scenario', 'tool', 'settings', 'runs', 'kill ms p50', 'p99', 'max', 'end p99', 'depth MiB p50', 'max']
  const cells = rows.map((row) => [
    row.scenario,
    row.tool,
    row.settings,
    ...(row.skipped !== undefined
      ? [`skipped: ${row.skipped}`]
      : [
          String(row.runs),
          ...[row.killMs.p50, row.killMs.p99, row.killMs.max, row.endMs.p99].map(ms),
          ...[row.depthBytes.p50, row.depthBytes.max].map(mib),
          String(row.wrongVictims),
          String(row.missed),
          String(row.beforeCrossing),
          row.restCpuPercent.toFixed(2),
          (row.rssBytes / 1024 ** 2).toFixed(1),
        ]),
  ])
  const heads = [...head, 'wrong', 'missed', 'early', 'rest CPU %', 'RSS MiB']
  const line = (row) => `| ${row.join(' | ')} |`
  return [line(heads), line(heads.map(() => '---')), ...cells.map(line)].join('\n')
}
