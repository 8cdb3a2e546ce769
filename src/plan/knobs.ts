import { placeholder } from './placeholders.js'
import type { EnvGroup } from './plan.js'
import type { KnobName } from './policy.js'

/** How one engine is told its budget in its own variables, or why it needs none. */
export interface Knob {
  /** The policy's name for it: `knobs.<name>`. */
  readonly name: KnobName
  readonly engine: string
  /** Set together, unless the container has one of `unlessEnv`; empty where no variable is safe and useful. */
  readonly groups: readonly EnvGroup[]
  /** Why these and no others: what was read in or measured on the engine. */
  readonly source: string
}

const MAX = 'MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER'
/** The same settings under the names of MAX 25.5 and its neighbours. */
const OLD_MAX = 'MODULAR_DEVICE_CONTEXT_BUFFER_CACHE'
const MAX_USER_CHOICE = [`${MAX}_SIZE`, `${MAX}_SIZE_PERCENT`, `${OLD_MAX}_SIZE`, `${OLD_MAX}_SIZE_PERCENT`]

/** SIZE alone lets MAX fall through to plain device allocations; with ONLY=true and one chunk it is a hard cap. */
const maxTriple = (prefix: string) => [
  `${prefix}_SIZE=${placeholder('engine_bytes')}`,
  `${prefix}_CHUNK_PERCENT=100`,
  `${prefix}_ONLY=true`,
]

/**
 * A knob must never break an image, whatever version of the engine is in it, and never cut twice: with the shim loaded an
 * engine already sees its budget as the total, so a fraction of the total is a fraction of the budget.
 */
export const KNOBS: readonly Knob[] = [
  {
    name: 'max',
    engine: 'MAX',
    groups: [
      { engine: 'MAX', unlessEnv: MAX_USER_CHOICE, env: maxTriple(MAX) },
      { engine: 'MAX 25.5', unlessEnv: MAX_USER_CHOICE, env: maxTriple(OLD_MAX) },
    ],
    source:
      'MAX 26.6 and 26.7: the three together are a hard cap, tried; SIZE is rounded up to 256 MiB. Together with SIZE_PERCENT, SIZE ' +
      'wins. libAsyncRTMojoBindings.so knows memory_manager_{size,chunk_percent,only} in 26.6 and 26.7, ' +
      'buffer_cache_{size,chunk_percent,only} in 25.5, and only a percentage before; 26.7 ignores the old names, tried.',
  },
  {
    name: 'jax',
    engine: 'JAX',
    groups: [
      {
        engine: 'JAX',
        unlessEnv: [
          'XLA_PYTHON_CLIENT_PREALLOCATE',
          'XLA_PYTHON_CLIENT_MEM_FRACTION',
          'XLA_CLIENT_MEM_FRACTION',
          'XLA_PYTHON_CLIENT_ALLOCATOR',
        ],
        env: ['XLA_PYTHON_CLIENT_PREALLOCATE=false'],
      },
    ],
    source:
      'JAX takes 75 % of the total it sees at its first operation, which the host side of the same container then lacks; ' +
      'PREALLOCATE=false keeps that limit but takes on demand. No fraction is set: jaxlib 0.4.30 reads only ' +
      'XLA_PYTHON_CLIENT_MEM_FRACTION, jaxlib 0.10.2 raises ValueError where that and XLA_CLIENT_MEM_FRACTION are both set, ' +
      'and a program may set the other one itself.',
  },
  {
    name: 'pytorch',
    engine: 'PyTorch',
    groups: [],
    source:
      'No variable is safe in every version: per_process_memory_fraction exists from 2.10, under PYTORCH_ALLOC_CONF and ' +
      'PYTORCH_CUDA_ALLOC_CONF; 2.9 reads both names and fails on a key it does not know ("Unrecognized key"), 2.8 and older ' +
      'fail on it under PYTORCH_CUDA_ALLOC_CONF. None is needed under shim or gate: PyTorch 2.11 got a clean OutOfMemoryError ' +
      'from both and went on.',
  },
  {
    name: 'vllm',
    engine: 'vLLM',
    groups: [],
    source:
      'vLLM has no variable for --gpu-memory-utilization. It takes total from cudaMemGetInfo and, on integrated GPUs, free from ' +
      'MemAvailable; the shim shows the budget in both.',
  },
]
