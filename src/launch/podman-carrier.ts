import type { CarriedLaunch, ContainerLaunch } from './carrier.js'
export async function carryToPodman(_launch: ContainerLaunch): Promise<CarriedLaunch> {
  throw new Error('todo')
}
