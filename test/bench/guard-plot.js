// docs/guard-reserve.svg: how deep memory falls for a rate of reading, and what a reserve is worth. Drawn by hand: it is two panels.

const COLORS = ['#1f6f8b', '#c8553d']
const PANEL = { width: 320, height: 220, left: 48, top: 34 }

const svg = (name, attributes, content = '') =>
  `<${name} ${Object.entries(attributes)
    .map(([key, value]) => `${key}="${value}"`)
    .join(' ')}>${content}</${name}>`
const text = (x, y, content, more = {}) => svg('text', { x, y, ...more }, content)

/** One panel: axes, ticks, lines. `x`, `y`: {label, ticks, at: value → 0..1}. */
function panel(offset, title, x, y, lines) {
  const px = (value) => (offset + PANEL.left + x.at(value) * PANEL.width).toFixed(1)
  const py = (value) => (PANEL.top + (1 - y.at(value)) * PANEL.height).toFixed(1)
  const bottom = PANEL.top + PANEL.height
  const left = offset + PANEL.left
  return [
    text(left, PANEL.top - 14, title, { 'font-weight': 'bold' }),
    svg('path', { d: `M${left} ${PANEL.top}V${bottom}H${left + PANEL.width}`, fill: 'none', stroke: '#888' }),
    ...x.ticks.map((tick) => text(px(tick), bottom + 15, String(tick), { 'text-anchor': 'middle' })),
    ...y.ticks.map((tick) =>
      text(left - 5, Number(py(tick)) + 4, y.format?.(tick) ?? String(tick), { 'text-anchor': 'end' }),
    ),
    ...y.ticks.map((tick) =>
      svg('path', { d: `M${left} ${py(tick)}H${left + PANEL.width}`, stroke: '#8884', fill: 'none' }),
    ),
    text(left + PANEL.width / 2, bottom + 32, x.label, { 'text-anchor': 'middle' }),
    ...lines.flatMap(({ name, points }, at) => {
      const path = points.map((point, index) => `${index === 0 ? 'M' : 'L'}${px(point.x)} ${py(point.y)}`).join('')
      return [
        svg('path', { d: path, fill: 'none', stroke: COLORS[at], 'stroke-width': 2 }),
        text(left + 12, PANEL.top + 14 + at * 16, name, { fill: COLORS[at] }),
      ]
    }),
  ].join('\n')
}

/** Both panels from what `simulateAll` returns. */
export function drawPlot({ rates, reserves }) {
  const log = (low, high) => (value) => Math.log(value / low) / Math.log(high / low)
  const depth = panel(
    0,
    'GiB under the reserve (p99)',
    { label: 'milliseconds between readings', ticks: [1, 10, 100, 1000], at: log(1, 1000) },
    { ticks: [0.1, 1, 10, 100], at: log(0.05, 120) },
    [14, 50].map((rate) => ({
      name: `fill of ${rate} GiB/s`,
      points: rates
        .filter((row) => row.fillGibPerSecond === rate)
        .map((row) => ({ x: row.periodMs, y: Math.max(0.05, row.depthGib.p99) })),
    })),
  )
  const chance = panel(
    420,
    'falls below what a host lives on',
    { label: 'reserve in GiB (128 GiB machine, fill of 50 GiB/s)', ticks: [0, 5, 10, 15], at: (value) => value / 15 },
    { ticks: [0, 0.5, 1], at: (value) => value / 1.15, format: (tick) => `${tick * 100} %` },
    [1, 100].map((periodMs) => ({
      name: `a reading every ${periodMs} ms`,
      points: reserves
        .filter((row) => row.periodMs === periodMs)
        .map((row) => ({ x: row.reserveGib, y: row.chanceOfEnd })),
    })),
  )
  const style = 'font-family="system-ui, sans-serif" font-size="12" fill="#555"'
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 810 310" ${style}>\n${depth}\n${chance}\n</svg>\n`
}
