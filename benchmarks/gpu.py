"""Everything about speed that needs an NVIDIA GPU, after the GPU's tests.

    pip install ".[cu12,test]" cupy-cuda12x torch
    python benchmarks/gpu.py                 writes results/<gpu>.json and .md
    python benchmarks/gpu.py --quick         a look: too short to quote, writes nothing
    python benchmarks/gpu.py --only loops    one section, writes nothing

PyTorch and CuPy take part where they are installed and find the GPU. Without a GPU it says so and
measures nothing. A section is a function ``rows(cuda, effort)`` that yields rows of `report.Row`.
"""

import argparse
import importlib
import importlib.util
import json
import re
import subprocess
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("results")
SECTIONS = ("steps", "loops", "solves", "batches")  # each is a module gpu_<name>.py
PACKAGES = (
    "adamnb",
    "numba",
    "numba-cuda",
    "numpy",
    "scipy",
    "torch",
    "cupy-cuda12x",
    "cupy-cuda13x",
)


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
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        *(f"tests/test_cuda_{name}.py" for name in ("code", "device", "batch_code", "batch")),
    ]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    print(done.stdout)
    if done.returncode:
        sys.exit("The tests fail on this GPU: nothing was measured.")
    return done.stdout.strip().splitlines()[-1]


def measured(cuda, sections, effort):
    """Return the rows of all sections, and the names of those that failed: the others go on."""
    rows, failed = [], []
    for name in sections:
        try:
            for row in importlib.import_module(f"gpu_{name}").rows(cuda, effort):
                rows.append(row)
                print(f"{row.work}: {row.adamnb}; {row.rival}", file=sys.stderr, flush=True)
        except Exception:
            traceback.print_exc()
            failed.append(name)
    return rows, failed


def record(cuda, passed, rows, failed, effort):
    """Return all that is kept of a measurement."""
    import gpu_timing
    import report

    name = cuda.get_current_device().name
    return {
        "gpu": name.decode() if isinstance(name, bytes) else name,
        "cpu": report.cpu_model(),
        "versions": report.versions(PACKAGES),
        "date": datetime.now(UTC).date().isoformat(),
        "tests": passed,
        "rounds": f"medians of {effort.rounds} alternating rounds ({effort.processes} of solves)",
        "missing": [text for text in map(gpu_timing.missing, ("torch", "cupy")) if text],
        "failed": failed,
        "rows": [
            {
                "work": row.work, "adamnb": row.adamnb, "other": row.rival,
                "seconds adamnb": float(np.median(row.ours)),
                "seconds other": None if row.other is None else float(np.median(row.other)),
                "ratio": row.ratio, "reach": row.reach(),
            }
            for row in rows
        ],
    }  # fmt: skip


def markdown(kept, rows):
    """Return the header and the table."""
    import report

    header = [f"* {name}: {kept[name]}" for name in ("cpu", "versions", "date", "tests", "rounds")]
    header += [f"* {text}: its rows are missing" for text in kept["missing"]]
    header += [f"* section {name} failed: rows are missing" for name in kept["failed"]]
    header.append("* ratio = time other / time adamnb of the same round: above 1, adamnb is faster")
    return "\n".join([f"## {kept['gpu']}", "", *header, "", report.table(rows), ""])


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few and short rounds")
    parser.add_argument("--only", choices=SECTIONS, help="one section")
    chosen = parser.parse_args(arguments)
    cuda = gpu()
    sys.path.insert(0, str(ROOT))
    import measure

    effort = measure.QUICK if chosen.quick else measure.FULL
    passed = tests()
    rows, failed = measured(cuda, [chosen.only] if chosen.only else SECTIONS, effort)
    kept = record(cuda, passed, rows, failed, effort)
    text = markdown(kept, rows)
    print(text)
    if not (chosen.quick or chosen.only):
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / re.sub(r"\W+", "-", kept["gpu"].lower()).strip("-")
        path.with_suffix(".json").write_text(json.dumps(kept, indent=1) + "\n")
        path.with_suffix(".md").write_text(text)
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
