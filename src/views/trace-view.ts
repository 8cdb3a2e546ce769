import { formatBytes } from '../plan/size.js'
import { isRefusal, type TraceLine } from '../probe/trace-line.js'
import { resultName } from './result-name.js'

/** A call as strace would tell it: `[pid] cuMemAlloc_v2(2.0 GiB) = CUDA_ERROR_OUT_OF_MEMORY (refused by spark-run; …)`. */
export function traceView(line: TraceLine): string {
  const asked = [
    ...(line.detail === undefined ? [] : [JSON.stringify(line.detail)]),
    ...(line.bytes === undefined ? [] : [formatBytes(line.bytes)]),
  ].join(', ')
  const result = line.result === undefined ? '' : ` = ${resultName(line.layer, line.result)}`
  const remarks = remarksOn(line).join('; ')
  return `[${line.pid}] ${line.call}(${asked})${result}${remarks === '' ? '' : ` (${remarks})`}`
}

function remarksOn(line: TraceLine): string[] {
  const left =
    line.leftBytes === undefined || line.budgetBytes === undefined
      ? []
      : [`${formatBytes(line.leftBytes)} of ${formatBytes(line.budgetBytes)} left`]
  if (isRefusal(line)) return [line.by === 'shim' ? 'refused by spark-run' : 'refused by the driver', ...left]
  const told = toldBy(line)
  if (told !== undefined) return [`told ${told}${line.by === 'shim' ? ' by spark-run' : ''}`, ...left]
  if (line.layer === 'loader') return [line.by === 'shim' ? 'led through spark-run' : "the driver's own", ...left]
  if (line.layer === 'host') return [line.by === 'shim' ? 'answered by spark-run' : "the system's own", ...left]
  return left
}

function toldBy({ freeBytes, totalBytes }: TraceLine): string | undefined {
  if (freeBytes !== undefined)
    return `${formatBytes(freeBytes)} free${totalBytes === undefined ? '' : ` of ${formatBytes(totalBytes)}`}`
  return totalBytes === undefined ? undefined : `${formatBytes(totalBytes)} in all`
}
