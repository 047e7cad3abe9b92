"""From nothing: import, and the first result of a fresh process with warm and with empty caches."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import rivals
from measure import alternate_processes
from report import Row

HERE = Path(__file__).parent


def _python(*arguments, cache=None):
    """A callable that runs Python in its own process; cache is the folder for compiled code."""
    environment = dict(os.environ)
    # Import times are those of an installed package, whose modules Python has compiled to bytecode.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if cache is not None:
        environment |= {
            "NUMBA_CACHE_DIR": str(Path(cache, "numba")),
            "JAX_COMPILATION_CACHE_DIR": str(Path(cache, "jax")),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
    command = [sys.executable, *map(str, arguments)]

    def run():
        subprocess.run(command, env=environment, cwd=HERE, check=True, stdout=subprocess.DEVNULL)

    return run


def _with_empty_cache(*arguments):
    def run():
        with tempfile.TemporaryDirectory() as cache:
            _python(*arguments, cache=cache)()

    return run


def import_rows(effort, threads):
    modules = ("adamnb", "numba")
    launches = [_python("-c", f"import {name}") for name in modules]
    ours, other, nothing = alternate_processes([*launches, _python("-c", "pass")], effort)
    yield Row(
        "import, beyond starting Python",
        *modules,
        ours - nothing,
        other - nothing,
        at_least=1 / 1.15,
    )


def first_rows(effort, threads):
    optax = [HERE / "first_optax.py"] if rivals.available("jax", "optax") else None
    compiled, forward, interpreted = (
        [HERE / "first_adamnb.py", kind] for kind in ("compiled", "forward", "interpreted")
    )

    work = "first result from starting Python, Rosenbrock n = 10, warm cache"
    with tempfile.TemporaryDirectory() as cache:
        scripts = [compiled, interpreted, forward] + ([optax] if optax else [])
        samples = alternate_processes([_python(*script, cache=cache) for script in scripts], effort)
    jax = samples[3] if optax else None
    rival = "import jax, optax; lax.while_loop, its compilation cache on" if optax else "-"
    yield Row(work, "minimize, compiled", rival, samples[0], jax, at_least=1.0, within=1.2)
    yield Row(work, "minimize, interpreted", rival, samples[1], jax)
    yield _added(work, samples, within=0.1)

    work = "first result ever, Rosenbrock n = 10, empty cache"
    samples = alternate_processes([_with_empty_cache(*script) for script in scripts], effort)
    jax = samples[3] if optax else None
    rival = "import jax, optax; lax.while_loop" if optax else "-"
    yield Row(work, "minimize, compiled", rival, samples[0], jax, within=5.0)
    yield Row(work, "minimize, interpreted", rival, samples[1], jax, within=4.0)
    yield _added(work, samples, within=1.5)


def _added(work, samples, within):
    """What it costs to have no gradient."""
    work = f"{work}, beyond minimize with a gradient"
    return Row(
        work, "minimize, compiled, forward mode", "-", samples[2] - samples[0], within=within
    )
