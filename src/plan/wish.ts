import type { Wish } from './plan.js'
import { parseSize } from './size.js'

const MIB = 1024 ** 2
const GIB = 1024 ** 3

/**
 * Variables in which people already say how much memory a container should have, most deliberate first.
 *
 * - `SPARK_RUN_BUDGET`: ours.
 * - `MAX_MEMORY_LIMIT_GB`, `NVML_UNIFIED_MEMORY_CAP_GB`: passed around by users of MAX on DGX Spark; whole gigabytes.
 * - `NVIDIA_GPU_MEMORY_LIMIT`: read by the hook `apply-cuda-memory-limits` of nvidia-container-toolkit (NVIDIA's own limit for
 *   driver 615 and later) as whole MiB.
 */
export const BUDGET_WISHES: readonly Wish[] = [
  { env: 'SPARK_RUN_BUDGET', unitBytes: 1 },
  { env: 'MAX_MEMORY_LIMIT_GB', unitBytes: GIB },
  { env: 'NVML_UNIFIED_MEMORY_CAP_GB', unitBytes: GIB },
  { env: 'NVIDIA_GPU_MEMORY_LIMIT', unitBytes: MIB },
]

export interface GrantableWish {
  /** The variable that asked. */
  readonly env: string
  readonly bytes: number
}

/**
 * The budget that a container's environment asks for: the first wish that is set and not empty wins; undefined for none.
 *
 * @param percentOfBytes what 100 % is: MemTotal − reserve.
 * @throws ExpectedError `SIZE_SYNTAX` naming the variable, when its value is no size. The next wish is not tried, because
 * the person meant this one.
 */
export function pickWish(
  wishes: readonly Wish[],
  env: Readonly<Record<string, string>>,
  percentOfBytes: number,
): GrantableWish | undefined {
  for (const wish of wishes) {
    const text = Object.hasOwn(env, wish.env) ? env[wish.env] : undefined
    if (text === undefined || text === '') continue
    const what = `the container's ${wish.env}`
    return { env: wish.env, bytes: parseSize(text, { what, unitBytes: wish.unitBytes, percentOfBytes }) }
  }
  return undefined
}
