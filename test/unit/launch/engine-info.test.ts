import { expect, test } from 'vitest'
import type { EngineAnswer, EngineCli } from '../../../src/launch/engine-cli.js'
import { parseDockerInfo, readDockerInfo } from '../../../src/launch/engine-info.js'

const INFO = {
  ID: 'A:B',
  Runtimes: { runc: {}, spark: {} },
  MemTotal: 137438953472,
  Architecture: 'aarch64',
  MemoryLimit: true,
  SwapLimit: false,
  SystemTime: '2026-11-23T10:00:00Z',
  SecurityOptions: ['name=seccomp,profile=default'],
  OperatingSystem: 'Ubuntu 24.04',
}

function engineThatSays(answer: EngineAnswer): EngineCli {
  return { engine: 'docker', globalArgs: [], ask: async () => answer, follow: () => ({ stop: () => {} }) }
}

test('what the daemon says of itself is read', () => {
  expect(parseDockerInfo(JSON.stringify(INFO))).toEqual({
    runtimes: ['runc', 'spark'],
    memTotalBytes: 137438953472,
    architecture: 'aarch64',
    memoryLimit: true,
    swapLimit: false,
    systemTime: '2026-11-23T10:00:00Z',
    sidecarObstacle: undefined,
  })
})

test('a rootless daemon and Docker Desktop cannot have a guard as a container', () => {
  const obstacle = (change: object) => parseDockerInfo(JSON.stringify({ ...INFO, ...change }))?.sidecarObstacle
  expect(obstacle({ SecurityOptions: ['name=rootless'] })).toContain('rootless')
  expect(obstacle({ OperatingSystem: 'Docker Desktop' })).toContain('Docker Desktop')
  expect(obstacle({ SecurityOptions: null })).toBeUndefined()
})

test.each([
  [
    { exitCode: 1, stdout: '', stderr: 'ERROR: Cannot connect to the Docker daemon.\nerrors pretty printing info\n' },
    ': Cannot connect to the Docker daemon.',
  ],
  [{ exitCode: 0, stdout: '{"ID":"","Runtimes":null}', stderr: '' }, ': docker info gave exit code 0'],
  [
    { exitCode: 1, stdout: '', stderr: 'permission denied while trying to connect' },
    ': permission denied while trying to connect',
  ],
])('an engine without an answer is refused in its own words', async (answer, words) => {
  await expect(readDockerInfo(engineThatSays(answer))).rejects.toMatchObject({
    message: `the Docker daemon did not answer, so nothing was started${words}`,
    exitCode: 125,
  })
})

test('Podman under the name of docker is recognised', async () => {
  const answer = { exitCode: 0, stdout: '{"host":{"buildahVersion":"1.28.2"}}', stderr: '' }
  await expect(readDockerInfo(engineThatSays(answer))).rejects.toMatchObject({
    code: 'DOCKER_IS_PODMAN',
    exitCode: 125,
  })
})
