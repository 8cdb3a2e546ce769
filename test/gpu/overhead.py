"""What the shim costs on a real driver: the same program with it and without, in turn; prints the medians of the rounds' own ratios.

    python3 test/gpu/overhead.py SHIM LEDGER ALLOC_PAIR_PROGRAM      run by test/gpu/run.sh
"""

import json
import os
import statistics
import subprocess
import sys

shim, ledger, alloc_pair = sys.argv[1:4]
HELD = {**os.environ, "LD_PRELOAD": shim, "SPARK_RUN_LEDGER": ledger}
BARE = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "SPARK_RUN_LEDGER")}


def figures(command: list[str], environment: dict[str, str]) -> list[float]:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def compare(name: str, command: list[str], columns: list[str], rounds: int) -> None:
    bare, held = [], []
    for turn in range(rounds):
        # Who goes first changes, so that warming up favours neither.
        for side in ((bare, BARE), (held, HELD))[:: 1 if turn % 2 == 0 else -1]:
            side[0].append(figures(command, side[1]))
    for column, title in enumerate(columns):
        pairs = [(h[column], b[column]) for h, b in zip(held, bare)]
        print(
            json.dumps(
                {
                    "overhead": f"{name}: {title}",
                    "rounds": rounds,
                    "bareMedian": statistics.median(b for _, b in pairs),
                    "heldMedian": statistics.median(h for h, _ in pairs),
                    "ratioMedian": round(statistics.median(h / b for h, b in pairs), 4),
                    "differenceMedian": statistics.median(h - b for h, b in pairs),
                    # Where the processor changes its speed between runs, the fastest of each side are of one speed.
                    "differenceFastest": min(h for h, _ in pairs) - min(b for _, b in pairs),
                }
            ),
            flush=True,
        )


compare("driver API, 4 KiB", [alloc_pair, "4096", "20000"], ["cuMemAlloc + cuMemFree (ns)", "cuStreamQuery (ns)"], 7)
compare("driver API, 64 MiB", [alloc_pair, str(64 << 20), "3000"], ["cuMemAlloc + cuMemFree (ns)", "cuStreamQuery (ns)"], 7)
compare("PyTorch", [sys.executable, os.path.join(os.path.dirname(__file__), "torch_step.py")], ["training step (s)", "50 matrix products (s)"], 5)
