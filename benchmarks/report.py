"""The rows of the comparison and the markdown they are printed as."""

import datetime
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numba
import numpy as np

HEADING = "## adamnb side by side with other packages"
PACKAGES = ("adamnb", "numba", "numpy", "scipy", "torch", "jax", "optax")
RIVALS = ("torch", "jax", "optax")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    ours, other : seconds, one sample a round; other is None where there is nothing to compare with
    at_least : the ratio other / ours to reach
    within : the seconds to stay below
    """

    work: str
    adamnb: str
    rival: str
    ours: np.ndarray
    other: np.ndarray | None = None
    at_least: float | None = None
    within: float | None = None

    @property
    def ratio(self):
        """Median over the rounds of other / ours, both from the same round."""
        return None if self.other is None else float(np.median(self.other / self.ours))

    def reach(self):
        """What to reach and whether it was."""
        marks = []
        if self.at_least is not None and self.ratio is not None:
            verdict = "met" if self.ratio >= self.at_least else "missed"
            marks.append(f"ratio ≥ {self.at_least:.2g}: {verdict}")
        if self.within is not None:
            verdict = "met" if np.median(self.ours) <= self.within else "missed"
            marks.append(f"≤ {in_units(self.within)}: {verdict}")
        return ", ".join(marks) or "-"

    def markdown(self):
        ratio = "-" if self.ratio is None else f"{self.ratio:.3g}"
        times = [in_units(np.median(s)) if s is not None else "-" for s in (self.ours, self.other)]
        return (
            "| "
            + " | ".join([self.work, self.adamnb, self.rival, *times, ratio, self.reach()])
            + " |"
        )


def in_units(seconds):
    """Three digits and a unit: 4.12 us."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if abs(seconds) >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def table(rows):
    head = ["work", "adamnb", "other", "time adamnb", "time other", "ratio", "reach"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|---|---:|---:|---:|---|"]
    return "\n".join(lines + [row.markdown() for row in rows])


def cpu_model():
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    return found.group(1) if found else platform.machine()


def threading_layer():
    numba.get_num_threads()  # starts the threads, which names their layer
    return numba.threading_layer()


def versions(packages=PACKAGES):
    """Python and the packages, each with its version or "missing"."""
    found = [f"Python {platform.python_version()}"]
    for name in packages:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            source_tree = name == "adamnb"
            found.append(f"{name} {'from the source tree' if source_tree else 'missing'}")
    return ", ".join(found)


def compiler():
    """The C compiler with its version or "missing"."""
    command = ["gcc", "-dumpfullversion"]
    try:
        return "gcc " + subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return "gcc missing"


def missing():
    """One line for each rival that the table does without."""
    lines = [
        f"* {name} is not installed: its rows are missing" for name in RIVALS if not find_spec(name)
    ]
    if not shutil.which("gcc"):
        lines.append("* gcc is not installed: the rows of the loop in C are missing")
    return "\n".join(lines)


def header(threads, effort):
    return "\n".join(
        [
            f"* machine: {cpu_model()}, {platform.system()} {platform.release()}",
            f"* threads: {threads}, Numba's layer: {threading_layer()}",
            f"* versions: {versions()}, {compiler()}",
            f"* date: {datetime.date.today().isoformat()}",
            f"* medians of {effort.rounds} alternating rounds ({effort.processes} of processes)",
            "* ratio = time other / time adamnb of the same round: above 1, adamnb is the faster",
        ]
    )


def write_section(path, body, heading=HEADING):
    """Put body under `heading` in the file; its other sections stay as they are."""
    old = path.read_text() if path.exists() else "# Measured\n"
    section = f"{heading}\n\n{body}\n"
    pattern = re.compile(rf"^{re.escape(heading)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(old):
        new = pattern.sub(lambda _: section + "\n", old)
    else:
        new = f"{old.rstrip()}\n\n{section}"
    path.write_text(new.rstrip() + "\n")
