import type { GuardEvent } from '../guard/events.js'

/** How long after a kill a new guard may find the dying container and note it again. */
const STILL_DYING_MS = 60_000

/**
 * When the newest life of the containers in `about` began, by the guard's own `register`; undefined where none is noted.
 * A guard that starts notes again whoever lives, also one that is being killed: that is no beginning.
 *
 * @param events of everybody, oldest first: the guard's starts are among them.
 */
export function computeLastBeginning(
  events: readonly GuardEvent[],
  about: ReadonlySet<GuardEvent>,
): number | undefined {
  const live = new Map<string, { killedAt?: number; guardIsAnother?: boolean }>()
  let begunAt: number | undefined
  for (const event of events) {
    if (event.type === 'start') for (const life of live.values()) life.guardIsAnother = true
    if (!about.has(event) || !event.id) continue
    const time = Date.parse(event.time)
    const life = live.get(event.id)
    switch (event.type) {
      case 'register':
        if (life?.guardIsAnother !== true || time - (life.killedAt ?? time) > STILL_DYING_MS) {
          begunAt = time
          live.set(event.id, {})
        } else life.guardIsAnother = false
        break
      case 'kill':
        live.set(event.id, { killedAt: time })
        break
      case 'unregister':
      case 'refused':
        live.delete(event.id)
        break
    }
  }
  return begunAt
}
