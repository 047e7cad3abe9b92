"""One step on a GPU against the traffic limit and other packages, after the GPU's tests.

    python benchmarks/gpu.py            tests, then everything; writes results/<gpu>.json and .md
    python benchmarks/gpu.py --quick    a look: too short to quote, writes nothing

All contenders work in the same memory: variables, gradient and two slots. PyTorch and CuPy take part
where they are installed. Without a GPU it says so and measures nothing.
"""

import argparse
import importlib.util
import json
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("results")
SIZES = (1_000, 10**5, 10**6, 10**7, 10**8, 10**9)
DTYPES = (np.float32, np.float64)
ARRAYS = 4  # variables, gradient and two slots
RATE = 1e-6


def gpu():
    """Return numba.cuda, or leave with the reason why there is nothing to measure."""
    if importlib.util.find_spec("numba_cuda") is None:
        sys.exit('No GPU can be measured: numba-cuda is missing (pip install "adamnb[cu12]").')
    from numba import config, cuda

    if config.ENABLE_CUDASIM:
        sys.exit(
            "No GPU can be measured: NUMBA_ENABLE_CUDASIM is set, and a simulator has no speed."
        )
    if not cuda.is_available():
        sys.exit("No GPU can be measured: Numba finds none on this machine. Nothing was written.")
    return cuda


def tests():
    """Run the tests of the GPU and return their last line; leave if one fails."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/test_cuda.py"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    print(done.stdout)
    if done.returncode:
        sys.exit("The tests fail on this GPU: nothing was measured.")
    return done.stdout.strip().splitlines()[-1]


def traffic(cuda, x, g, slots):
    """Return what reads four arrays, writes three of them, and hardly computes."""

    @cuda.jit
    def move(x, g, slots):
        n, i, stride = np.uintp(x.size), np.uintp(cuda.grid(1)), np.uintp(cuda.gridsize(1))
        while i < n:
            d = g[i]
            p, m, v = x[i], slots[0, i], slots[1, i]
            x[i] = p if p > d else d  # finite, and no slot negative, however often
            slots[0, i] = m if m > d else d
            slots[1, i] = v if v > d else d
            i += stride

    from adamnb._cuda import BLOCKS, FEWEST, THREADS

    blocks = min(BLOCKS, max(FEWEST, -(-x.size // THREADS)))
    return lambda: move[blocks, THREADS](x, g, slots)


def torch_fused(x, g, slots):
    """Return PyTorch's fused step."""
    import torch

    parameter = torch.nn.Parameter(torch.as_tensor(x, device="cuda"))
    parameter.grad = torch.as_tensor(g, device="cuda")
    optimizer = torch.optim.Adam([parameter], lr=RATE, fused=True)
    block = torch.as_tensor(slots, device="cuda")
    optimizer.state[parameter] = {
        "step": torch.zeros((), device="cuda"), "exp_avg": block[0], "exp_avg_sq": block[1],
    }  # fmt: skip
    return optimizer.step


def cupy_kernel(x, g, slots):
    """Return Adam as one CuPy kernel, correction of the bias left out."""
    import cupy

    kernel = cupy.ElementwiseKernel(
        "T g, T beta1, T beta2, T rate, T eps", "T x, T m, T v",
        "m = beta1 * m + ((T)1 - beta1) * g; v = beta2 * v + ((T)1 - beta2) * g * g;"
        " x -= rate * m / (sqrt(v) + eps);",
        "adam",
    )  # fmt: skip
    x, g, (m, v) = cupy.asarray(x), cupy.asarray(g), cupy.asarray(slots)
    return lambda: kernel(g, 0.9, 0.999, RATE, 1e-8, x, m, v)


def contenders(cuda, n, dtype):
    """Return the calls to be timed by name, ours first."""
    import adamnb

    x, g = (cuda.to_device(np.full(n, value, dtype)) for value in (1.0, 1e-3))
    ours = adamnb.Optimizer(x, learning_rate=RATE)
    slots = ours._slots
    calls = {
        "adamnb": lambda: ours.step(g),
        "traffic limit": traffic(cuda, x, g, slots),
    }
    for package, name, make in (
        ("torch", "torch.optim.Adam(fused=True)", torch_fused),
        ("cupy", "CuPy ElementwiseKernel", cupy_kernel),
    ):
        if importlib.util.find_spec(package) is not None:
            calls[name] = make(x, g, slots)
    return calls


def seconds(cuda, call, times):
    """Return the device's seconds from the first of so many calls to the end of the last."""
    first, last = cuda.event(), cuda.event()
    first.record()
    for _ in range(times):
        call()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / 1e3


def measure(cuda, calls, rounds, duration):
    """Return seconds a call, shape (len(calls), rounds): A B A B, each round about as long."""
    times = []
    for call in calls:
        seconds(cuda, call, 3)
        times.append(max(1, round(10 * duration / seconds(cuda, call, 10))))
    samples = np.empty((len(calls), rounds))
    for r in range(rounds):
        for k, call in enumerate(calls):
            samples[k, r] = seconds(cuda, call, times[k]) / times[k]
    return samples


def rows(cuda, rounds, duration):
    """Yield one row per size, dtype and contender: medians, and the ratio to our step."""
    for dtype in DTYPES:
        for n in SIZES:
            free = cuda.current_context().get_memory_info()[0]
            if ARRAYS * n * np.dtype(dtype).itemsize > 0.9 * free:
                print(f"n = {n:,} {dtype.__name__} left out: it does not fit", file=sys.stderr)
                continue
            calls = contenders(cuda, n, dtype)
            samples = measure(cuda, list(calls.values()), rounds, duration)
            traffic_bytes = 7 * n * np.dtype(dtype).itemsize
            for name, sample in zip(calls, samples, strict=True):
                median = float(np.median(sample))
                yield {
                    "n": n, "dtype": dtype.__name__, "contender": name, "seconds": median,
                    "GB/s": traffic_bytes / median / 1e9,
                    "ratio": float(np.median(sample / samples[0])),
                }  # fmt: skip
            del calls


def table(record):
    """Return a record as Markdown."""
    lines = [
        f"## One step on {record['gpu']}", "",
        f"* versions: {record['versions']}",
        f"* date: {record['date']}",
        f"* tests: {record['tests']}",
        f"* medians of {record['rounds']} alternating rounds; all contenders in the same memory",
        "* ratio = time / time of adamnb in the same round: above 1, adamnb is the faster", "",
        "| n | dtype | step | time, us | GB/s | ratio |", "|---:|---|---|---:|---:|---:|",
    ]  # fmt: skip
    for row in record["rows"]:
        lines.append(
            f"| {row['n']:,} | {row['dtype']} | {row['contender']} | {1e6 * row['seconds']:.4g} |"
            f" {row['GB/s']:.4g} | {row['ratio']:.3g} |"
        )
    return "\n".join(lines) + "\n"


def versions():
    """Return what is installed."""
    known = ("adamnb", "numba", "numba-cuda", "numpy", "torch", "cupy-cuda12x", "cupy-cuda13x")
    found = [f"Python {platform.python_version()}"]
    for name in known:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few and short rounds")
    quick = parser.parse_args(arguments).quick
    cuda = gpu()
    sys.path.insert(0, str(ROOT))
    name = cuda.get_current_device().name
    name = name.decode() if isinstance(name, bytes) else name
    rounds, duration = (3, 0.005) if quick else (15, 0.05)
    record = {
        "gpu": name, "tests": tests(), "versions": versions(), "rounds": rounds,
        "date": datetime.now(UTC).date().isoformat(),
    }  # fmt: skip
    record["rows"] = list(rows(cuda, rounds, duration))
    print(table(record))
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / re.sub(r"\W+", "-", name.lower()).strip("-")
        path.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
        path.with_suffix(".md").write_text(table(record))


if __name__ == "__main__":
    main()
