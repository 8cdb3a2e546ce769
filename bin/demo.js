#!/usr/bin/env node
// npm run demo: the main job, played on a small machine inside this one.
import { existsSync } from 'node:fs'

const main = new URL('../dist/demo/main.js', import.meta.url)

if (!existsSync(main)) {
  process.stderr.write('demo: this copy is not built yet; build it with: npm run build\n')
  process.exitCode = 1
} else {
  const { runDemo } = await import(main.href)
  process.exitCode = await runDemo(process.argv.slice(2))
}
