import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ContainerStatus, Status } from '../../../src/host/status.js'
import { nameContainers } from '../../../src/launch/container-names.js'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'spark-names-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

const container = (id: string, name: string | null, engine = 'docker') => ({ id, name, engine }) as ContainerStatus
const names = async (...containers: ContainerStatus[]) => {
  const status = await nameContainers({ containers } as unknown as Status, { PATH: `${dir}:/bin:/usr/bin` })
  return status.containers.map(({ name }) => name)
}
/** In the engine's place a script: what is asked here is who is asked, and what becomes of the answer. */
const engineThat = (script: string) =>
  writeFileSync(path.join(dir, 'docker'), `#!/bin/sh\n${script}\n`, { mode: 0o755 })

test('who has no name in the registry gets the one that the engine knows; nobody else is asked for', async () => {
  engineThat(`[ "$*" = 'container inspect --format {{.Id}} {{.Name}} aa bb' ] && echo 'bb /two'; exit 1`)
  const given = [container('aa', null), container('bb', null), container('cc', 'three'), container('dd', null, 'cri-o')]
  expect(await names(...given)).toEqual([null, 'two', 'three', null])
})

test('an engine that does not answer names nobody, and is not waited for', async () => {
  engineThat('exec sleep 60')
  expect(await names(container('aa', null))).toEqual([null])
})
