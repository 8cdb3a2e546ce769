// Boots the virtual machines, one after the other, and ends with one plain line: "N passed, N failed, N skipped".
//   node test/vm/run.js [x86_64|aarch64 …]     no argument = both; what they are made of comes from `sh bin/bootstrap.sh vm`
//   SPARK_VM_SCENARIOS=slow,foreign     only these (test/vm/guest/scenario-…)
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')
// A machine that hangs ends here; one that is only slow, under emulation on a busy host, does not come near it.
const LIMIT_MS = 8 * 60_000
const MACHINES = {
  x86_64: { qemu: 'qemu-system-x86_64', hardware: ['-M', 'q35', '-cpu', 'max'], console: 'ttyS0' },
  aarch64: { qemu: 'qemu-system-aarch64', hardware: ['-M', 'virt', '-cpu', 'neoverse-n1'], console: 'ttyAMA0' },
}

const chosen = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(MACHINES)
const unknown = chosen.filter((name) => !(name in MACHINES))
if (unknown.length > 0) {
  console.error(`vm: unknown machine ${unknown.join(', ')}; there are ${Object.keys(MACHINES).join(', ')}`)
  process.exit(2)
}

const total = { passed: 0, failed: 0, skipped: 0 }
const inBuild = (...parts) => path.join(root, 'native/build', ...parts)
const isThere = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined

/** Why this machine cannot be had here, or undefined. */
function missing(name) {
  const compiler = name === hostMachine() ? 'gcc' : `${name}-linux-gnu-gcc`
  if (!isThere(MACHINES[name].qemu)) return `${MACHINES[name].qemu} is not installed`
  if (!isThere(compiler)) return `${compiler} is not installed`
  if (!existsSync(inBuild('vm', name, 'complete'))) return "Debian's cloud kernel could not be fetched"
  if (!existsSync(inBuild(name, 'spark-guard'))) return `spark-run is not built for ${name}`
  return undefined
}

function hostMachine() {
  return os.machine() === 'arm64' ? 'aarch64' : os.machine()
}

function fail(name, text) {
  total.failed += 1
  console.log(`not ok - ${name}: ${text}`)
}

function qemuArguments(name) {
  const kernel = readdirSync(inBuild('vm', name, 'kernel/boot')).find((file) => file.startsWith('vmlinuz-'))
  const { hardware, console: device } = MACHINES[name]
  const scenarios = process.env.SPARK_VM_SCENARIOS ? ` spark_scenarios=${process.env.SPARK_VM_SCENARIOS}` : ''
  return [
    ...hardware,
    ...['-accel', 'tcg,thread=multi', '-smp', '2', '-m', '1024', '-nodefaults', '-display', 'none', '-no-reboot'],
    ...['-serial', 'stdio', '-kernel', inBuild('vm', name, 'kernel/boot', kernel)],
    ...['-initrd', inBuild('vm', name, 'initramfs'), '-append', `console=${device} loglevel=4 panic=-1${scenarios}`],
  ]
}

/** Counts the TAP that comes over the serial console. */
class Console {
  seen = 0
  failures = 0
  promised = undefined
  last = []

  line(name, text) {
    const check = /^(ok|not ok) \d+ - (.*)$/.exec(text)
    const plan = /^1\.\.(\d+)$/.exec(text)
    if (check) {
      this.seen += 1
      if (check[1] !== 'ok') this.failures += 1
      console.log(`${check[1]} - ${name}: ${check[2]}`)
    } else if (plan) this.promised = Number(plan[1])
    else if (text.startsWith('# ')) console.log(`# ${name}: ${text.slice(2)}`)
    else this.last = [...this.last.slice(-59), text]
  }
}

/** Boots a machine and resolves when it is off. */
function boot(name) {
  return new Promise((resolve) => {
    const machine = spawn(MACHINES[name].qemu, qemuArguments(name), { stdio: ['ignore', 'pipe', 'pipe'] })
    const heard = new Console()
    let late = false
    const limit = setTimeout(() => {
      late = true
      machine.kill('SIGKILL')
    }, LIMIT_MS)
    const stop = (signal) => {
      machine.kill('SIGKILL')
      process.exitCode = 128 + os.constants.signals[signal]
    }
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
    for (const signal of signals) process.on(signal, stop)
    // The console ends its lines with a carriage return, and the firmware clears the screen.
    createInterface({ input: machine.stdout }).on('line', (text) => heard.line(name, text.trimEnd()))
    createInterface({ input: machine.stderr }).on('line', (text) => heard.line(name, text))
    machine.on('error', (error) => heard.line(name, String(error)))
    machine.on('close', () => {
      clearTimeout(limit)
      for (const signal of signals) process.off(signal, stop)
      resolve({ heard, late })
    })
  })
}

for (const name of chosen) {
  console.log(`# ${name}`)
  const reason = missing(name)
  if (reason !== undefined) {
    total.skipped += 1
    console.log(`ok - ${name}: the virtual machine # SKIP ${reason}`)
    continue
  }
  const build = spawnSync('sh', ['test/vm/build.sh', name], { cwd: root, encoding: 'utf8' })
  if (build.status !== 0) {
    fail(name, `the virtual machine could not be built\n${build.stdout}${build.stderr}`)
    continue
  }
  const began = Date.now()
  const { heard, late } = await boot(name)
  total.passed += heard.seen - heard.failures
  total.failed += heard.failures
  if (late || heard.promised !== heard.seen) {
    const end = late ? `was still running after ${LIMIT_MS / 1000} s and was killed` : 'ended before its time'
    fail(name, `the virtual machine ${end}; last on its console:\n${heard.last.join('\n')}`)
  }
  if (process.exitCode !== undefined) break
  console.log(`# ${name}: ${Math.round((Date.now() - began) / 1000)} s`)
}
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
process.exitCode ??= total.failed === 0 ? 0 : 1
