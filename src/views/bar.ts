const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const
const FULL = '█'
const EMPTY = '·'
const MARK = '┃'

/**
 * A bar of `width` characters, to an eighth of a character: `████▌·····`. Shares outside 0…1 are cut.
 *
 * @param markAt 0…1: where a line stands in the bar, for a limit.
 */
export function drawBar(share: number, width: number, markAt?: number): string {
  const eighths = Math.round(clamp(share) * width * 8)
  const bar = [...`${FULL.repeat(Math.floor(eighths / 8))}${EIGHTHS[eighths % 8]}`.padEnd(width, EMPTY)]
  if (markAt !== undefined) bar[Math.min(width - 1, Math.floor(clamp(markAt) * width))] = MARK
  return bar.join('')
}

function clamp(share: number): number {
  return Number.isNaN(share) ? 0 : Math.min(1, Math.max(0, share))
}
