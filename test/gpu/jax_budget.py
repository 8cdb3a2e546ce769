"""JAX under the shim: the pool it sizes from what it sees, how it is refused, and that it computes rightly afterwards.

Prints one JSON object. Needs an NVIDIA driver and JAX; run by test/gpu/run.sh.
"""

import json
import os
import sys

import jax
import jax.numpy as jnp

MIB = 1 << 20
device = jax.devices("gpu")[0]
stats = device.memory_stats()
got, error = [], None
try:
    while len(got) < 4096:
        # Below what the pool holds, then past it: JAX tries again for ten seconds before it gives up.
        got.append(jnp.zeros((256 * MIB,), dtype=jnp.uint8).block_until_ready())
except Exception as refused:  # jaxlib raises its own type, which has no public name
    error = str(refused).split(":")[0]
held = len(got) * 256 * MIB
del got[: len(got) // 2]
a = jnp.full((1024, 1024), 2.0)
right = bool(jnp.all(a @ a == 4096.0))
print(
    json.dumps(
        {
            "engine": f"JAX {jax.__version__}",
            "settings": sys.argv[1] if len(sys.argv) > 1 else "",
            "preallocate": os.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE", "true"),
            "poolBytes": stats.get("bytes_limit"),
            "heldBytes": held,
            "refusedWith": error,
            "rightAnswerAfter": right,
        }
    )
)
