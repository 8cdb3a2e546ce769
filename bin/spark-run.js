#!/usr/bin/env node
// Decides before anything heavy loads: `docker` and `podman` go straight to the launcher, which needs only Node itself;
// everything else is an oclif command.
import { existsSync } from 'node:fs'

// A reader that went away is no error of ours; a full disk is one, in one sentence.
process.stdout.on('error', (error) => {
  if (error.code !== 'EPIPE') process.stderr.write(`spark-run: the output could not be written: ${error.message}\n`)
  process.exit(error.code === 'EPIPE' ? 0 : 1)
})

const argv = process.argv.slice(2)
const front = new URL('../dist/launch/front.js', import.meta.url)

if (!existsSync(front)) {
  process.stderr.write('spark-run: this copy is not built yet; build it with: npm run build\n')
  process.exitCode = 1
} else {
  const { isForLauncher, launch } = await import(front.href)
  if (isForLauncher(argv)) {
    process.exitCode = await launch(argv)
  } else {
    const { execute } = await import('@oclif/core')
    await execute({ dir: import.meta.url })
  }
}
