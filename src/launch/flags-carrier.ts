import type { CarriedLaunch, DockerLaunch } from './carrier.js'
export async function carryByFlags(_launch: DockerLaunch): Promise<CarriedLaunch> {
  throw new Error('todo')
}
