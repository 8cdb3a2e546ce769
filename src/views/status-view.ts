import type { ContainerStatus, Status } from '../host/status.js'
import { formatBytes } from '../plan/size.js'
import { drawBar } from './bar.js'
import { formatFields, formatTable } from './table.js'

const MACHINE_BAR_WIDTH = 40
const CONTAINER_BAR_WIDTH = 10
const SHORT_ID = 12

/** The status for people: three lines about the machine, then a table as `docker ps` prints one. */
export function statusView({ machine, guard, containers, invalidRegistryFiles, counts }: Status): string[] {
  const usedBytes = machine.memTotalBytes - machine.memAvailableBytes
  const reserveAt = 1 - machine.reserveBytes / machine.memTotalBytes
  const bar = drawBar(usedBytes / machine.memTotalBytes, MACHINE_BAR_WIDTH, reserveAt)
  const withheld = machine.withholdBytes > 0 ? `, ${formatBytes(machine.withholdBytes)} withheld` : ''
  return [
    ...formatFields([
      [
        'memory',
        `${bar} ${formatBytes(machine.memAvailableBytes)} of ${formatBytes(machine.memTotalBytes)} available${withheld}`,
      ],
      [
        'reserve',
        `${formatBytes(machine.reserveBytes)}${machine.memAvailableBytes < machine.reserveBytes ? ', not kept at this moment' : ''}`,
      ],
      ['left', `${formatBytes(machine.leftBytes)} for new containers`],
      ['guard', describeGuard(guard)],
      ['so far', `${plural(counts.kills, 'kill')}, ${plural(counts.refusals, 'refusal')}`],
    ]),
    '',
    ...(containers.length === 0 ? ['No container is under spark-run.'] : containerTable(containers)),
    ...(invalidRegistryFiles.length === 0 ? [] : ['', describeInvalid(invalidRegistryFiles)]),
  ]
}

function describeInvalid(names: readonly string[]): string {
  const many = names.length > 1
  return `${plural(names.length, 'registry file')} ${many ? 'are' : 'is'} not valid and ${many ? 'are' : 'is'} ignored: ${names.join(', ')}`
}

function describeGuard({ running, state }: Status['guard']): string {
  if (!running)
    return 'not running: nobody protects this host until spark-run install or spark-run docker run starts it'
  if (state === null) return 'running'
  const lacks = [state.realtime ? [] : ['realtime priority'], state.lockedMemory ? [] : ['locked memory']].flat()
  return [
    `running (pid ${state.pid}), kills by ${state.killBy}`,
    lacks.length === 0 ? '' : `, without ${lacks.join(' and ')}`,
    state.soft ? '; memory is short: no new containers' : '',
  ].join('')
}

function containerTable(containers: readonly ContainerStatus[]): string[] {
  return formatTable(
    [
      { heading: 'container' },
      { heading: 'name' },
      { heading: 'engine' },
      { heading: 'use' },
      { heading: 'budget', align: 'right' },
      { heading: 'driver', align: 'right' },
      { heading: 'cgroup', align: 'right' },
      { heading: 'refused', align: 'right' },
      { heading: 'priority', align: 'right' },
    ],
    containers.map((container) => [
      container.id.slice(0, SHORT_ID),
      container.name ?? '-',
      container.engine,
      drawBar(usedBytesOf(container) / container.budgetBytes, CONTAINER_BAR_WIDTH),
      formatBytes(container.budgetBytes),
      container.driverBytes === null ? '-' : formatBytes(container.driverBytes),
      container.cgroupBytes === null ? '-' : formatBytes(container.cgroupBytes),
      container.refusedCount === null ? '-' : String(container.refusedCount),
      String(container.priority),
    ]),
  )
}

/** What counts against a budget: driver memory and what the cgroup cannot drop (docs/design.md section 4). */
function usedBytesOf({ driverBytes, cgroupBytes }: ContainerStatus): number {
  return (driverBytes ?? 0) + (cgroupBytes ?? 0)
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
