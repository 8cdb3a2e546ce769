"""The guard against a real driver's memory: a CUDA program pins host memory until the host's reserve would be gone, beside another one that
keeps to its budget. Cgroup v2, a private guard, memory withheld so that nothing of the machine is really used up.

    guard_kill.py SPARK_GUARD RUNS     needs root and a cgroup v2 that can be written; prints a JSON line for each run and one for all
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

MIB = 1 << 20
GIB = 1 << 30
RESERVE = 2 * GIB
VICTIM_BYTES = 12 * GIB  # where the line is
BYSTANDER_BYTES = 1 * GIB
STEP = 64 * MIB


def available_bytes():
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable:")) * 1024


def fill(total, group):
    """What runs in a container: joins the cgroup, opens the GPU, pins `total` bytes in steps once a line comes, and holds them."""
    with open(group + "/cgroup.procs", "w") as procs:
        procs.write("0")
    cuda = ctypes.CDLL("libcuda.so.1")

    def must(status):
        if status != 0:
            sys.exit(f"CUDA error {status}")

    device, context, pointer = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
    must(cuda.cuInit(0))
    must(cuda.cuDeviceGet(ctypes.byref(device), 0))
    must(cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device))
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(total // STEP):
        must(cuda.cuMemHostAlloc(ctypes.byref(pointer), ctypes.c_size_t(STEP), 0))
    print("holding", flush=True)
    time.sleep(300)


class Container:
    def __init__(self, root, name, total):
        self.name = name
        self.group = f"{root}/{name}"
        os.mkdir(self.group)
        self.process = subprocess.Popen(
            [sys.executable, __file__, "fill", str(total), self.group],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self.process.stdout.readline() != "ready\n":
            sys.exit(f"{name}: {self.process.stderr.read()}")

    def register(self, run_dir, budget):
        with open(f"/proc/{self.process.pid}/stat") as file:
            start = file.read().rsplit(")", 1)[1].split()[19]
        fields = {
            "version": 1,
            "id": self.name,
            "name": self.name,
            "request": "",
            "engine": "unknown",
            "pid": self.process.pid,
            "pid_start": start,
            "cgroup_v2": self.group,
            "cgroup_memory": "",
            "cgroup_freezer": "",
            "budget_bytes": budget,
            "reserve_bytes": 0,
            "priority": 0,
            "ledger": "",
            "created_ns": time.clock_gettime_ns(time.CLOCK_BOOTTIME),
            "end": 1,
        }
        temporary = f"{run_dir}/containers/.{self.name}.tmp"
        with open(temporary, "w") as file:
            file.write("".join(f"{key}={value}\n" for key, value in fields.items()))
        os.rename(temporary, f"{run_dir}/containers/{self.name}")

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for _ in range(500):
            try:
                os.rmdir(self.group)
                return
            except OSError:
                time.sleep(0.01)


def run_once(guard, root, work, budget):
    run_dir, log_dir = work + "/run", work + "/log"
    os.mkdir(run_dir), os.mkdir(log_dir)
    bystander = Container(root, "bystander", BYSTANDER_BYTES)
    bystander.go()
    bystander.process.stdout.readline()
    victim = Container(root, "victim", VICTIM_BYTES + 6 * GIB)
    withheld = available_bytes() - RESERVE - VICTIM_BYTES
    read_fd, write_fd = os.pipe()
    watcher = subprocess.Popen(
        [guard, "--run-dir", run_dir, "--log-dir", log_dir, "--reserve-bytes", str(RESERVE), "--withhold-bytes", str(withheld)]
        + ["--ready-fd", str(write_fd)],
        pass_fds=[write_fd],
        stderr=subprocess.DEVNULL,
    )
    os.close(write_fd)
    os.read(read_fd, 1)
    os.close(read_fd)
    bystander.register(run_dir, 4 * GIB)
    victim.register(run_dir, budget)
    time.sleep(0.5)
    seen, stop = [], threading.Event()

    def observe():
        while not stop.is_set():
            seen.append((time.clock_gettime(time.CLOCK_BOOTTIME), available_bytes() - withheld))
            time.sleep(0.001)

    observer = threading.Thread(target=observe)
    observer.start()
    victim.go()
    died = victim.process.wait(60) == -signal.SIGKILL
    time.sleep(4)
    stop.set()
    observer.join()
    said = victim.process.stderr.read()
    with open(run_dir + "/tombstones/victim.json") as file:
        stone = json.load(file)
    killed_s = stone["killedBootNs"] / 1e9
    lowest = min(value for _, value in seen)
    after = [(at - killed_s, value - stone["memAvailableBytes"]) for at, value in seen if at >= killed_s]
    back = max(value for _, value in after)

    def when(share):
        return round(next((at for at, value in after if value >= share * back), -1) * 1000)

    result = {
        "died": died,
        "bystanderLives": bystander.process.poll() is None,
        "toldInItsLog": "spark-guard: killed victim" in said,
        "rule": stone["rule"],
        "useMiB": (stone["use"]["driverBytes"] + stone["use"]["cgroupBytes"]) // MIB,
        "fallGiBPerSecond": round(-stone["slopeBytesPerSecond"] / GIB, 1),
        "killToEmptyMs": stone["killToEmptyMs"],
        "lowestUnderReserveMiB": max(0, (RESERVE - lowest) // MIB),
        "backMiB": back // MIB,
        "tenthBackMs": when(0.1),
        "nineTenthsBackMs": when(0.9),
        "kills": len([line for line in open(log_dir + "/events.jsonl") if '"type":"kill"' in line]),
    }
    watcher.terminate()
    result["guardEnds"] = watcher.wait(10)
    bystander.end()
    victim.end()
    return result


def main():
    if sys.argv[1] == "fill":
        return fill(int(sys.argv[2]), sys.argv[3])
    guard, runs = sys.argv[1], int(sys.argv[2])
    root = f"/sys/fs/cgroup/spark-gpu-{os.getpid()}"
    os.mkdir(root)
    try:
        with open(root + "/cgroup.subtree_control", "w") as control:
            control.write("+memory")
    except OSError as error:
        print(f"# no memory controller below {root}: {error}")
    try:
        results = []
        for run in range(runs):
            with tempfile.TemporaryDirectory(dir="/dev/shm") as work:
                # Over its budget, and within it, in turn.
                results.append(run_once(guard, root, work, (4 if run % 2 == 0 else 64) * GIB))
            print(json.dumps(results[-1]), flush=True)
        good = all(r["died"] and r["bystanderLives"] and r["kills"] == 1 and r["guardEnds"] == 0 for r in results)
        worst = {key: max(r[key] for r in results) for key in ("lowestUnderReserveMiB", "killToEmptyMs", "tenthBackMs", "nineTenthsBackMs")}
        print(json.dumps({"runs": len(results), "rightVictimOnlyEachTime": good, "worst": worst}))
        return 0 if good else 1
    finally:
        os.rmdir(root)


sys.exit(main())
