"""adamnb side by side with other packages, as one markdown table.

    python benchmarks/compare.py                 everything; close other programs first
    python benchmarks/compare.py --quick         a look: too short to quote
    python benchmarks/compare.py --only loop     one group of rows
    python benchmarks/compare.py --write         also into benchmarks/RESULTS.md

A package that is not installed is left out and named below the table.
"""

import argparse
import os
import sys
from pathlib import Path

GROUPS = ("step", "loop", "gradient", "overhead", "batch", "curve_fit", "pairs", "import", "first")
RESULTS = Path(__file__).with_name("RESULTS.md")


def parse(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few and short rounds")
    parser.add_argument("--only", choices=GROUPS, help="one group of rows")
    parser.add_argument(
        "--threads", type=int, default=_processors(), help="default: all processors"
    )
    parser.add_argument(
        "--write", action="store_true", help=f"also write the table to {RESULTS.name}"
    )
    chosen = parser.parse_args(arguments)
    if chosen.write and (chosen.quick or chosen.only):
        parser.error("--write keeps complete measurements only: not with --quick or --only")
    if not 1 <= chosen.threads <= _processors():
        parser.error(f"--threads must be between 1 and {_processors()}; got {chosen.threads}")
    return chosen


def _processors():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def limit_threads(threads):
    """The same processors for everybody; before Numba and JAX are imported, who look only once."""
    if hasattr(os, "sched_setaffinity"):  # the only limit that XLA keeps
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ["NUMBA_NUM_THREADS"] = str(threads)
    # Torch and Numba bring an OpenMP each: threads that spin after their work would slow the other.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["JAX_ENABLE_X64"] = "1"


def main(arguments=None):
    chosen = parse(arguments)
    limit_threads(chosen.threads)

    import batches
    import curves
    import gradients
    import loops
    import measure
    import overhead
    import pairs
    import report
    import starts
    import steps

    groups = (
        steps.rows, loops.rows, gradients.rows, overhead.rows, batches.rows, curves.rows, pairs.rows,
        starts.import_rows, starts.first_rows,
    )  # fmt: skip
    effort = measure.QUICK if chosen.quick else measure.FULL
    rows = []
    for name, group in zip(GROUPS, groups, strict=True):
        if chosen.only in (None, name):
            for row in group(effort, chosen.threads):
                rows.append(row)
                print(f"{row.work}: {row.rival}", file=sys.stderr, flush=True)

    parts = [report.header(chosen.threads, effort), report.table(rows), report.missing()]
    body = "\n\n".join(filter(None, parts))
    print(body)
    if chosen.write:
        report.write_section(RESULTS, body)


if __name__ == "__main__":
    main()
