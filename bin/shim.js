#!/usr/bin/env node
// npm run --silent shim -- --budget 4g -- command…: any program of this machine under the shim.
import { existsSync } from 'node:fs'

const main = new URL('../dist/probe/shim-main.js', import.meta.url)

if (!existsSync(main)) {
  process.stderr.write('shim: this copy is not built yet; build it with: npm run build\n')
  process.exitCode = 1
} else {
  const { runShim } = await import(main.href)
  process.exitCode = await runShim(process.argv.slice(2))
}
