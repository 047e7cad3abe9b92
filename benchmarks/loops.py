"""A step of the compiled loop on Rosenbrock: against C, lax.scan and lax.while_loop."""

import cloop
import numpy as np
import rivals
from measure import alternate
from report import Row

import adamnb
from benchmarks.problems import COMPILED_FORMS, exactly, rosenbrock_start

# n -> steps, so many that the call itself does not show
SIZES = {2: 1_000_000, 10: 500_000, 100: 100_000, 1_000: 10_000}
CHECKED_STEPS = 2_000
AS_FAST_AS_C = 1 / 1.1


def _adamnb_loop(form, x0, steps):
    fun, jac = COMPILED_FORMS[form]

    def run():
        result = adamnb.minimize(fun, x0, jac=jac, **exactly(steps))
        if result.nit != steps:
            raise RuntimeError(f"stopped after {result.nit} of {steps} steps: {result.message}")
        return result.x_last

    return run


def _c_name(flags):
    return "C, gcc " + " ".join(flags)


def _rivals(x0, steps):
    """name -> (callable, ratio to reach)."""
    against_xla = 1.0 if x0.size <= 100 else None
    found = {}
    if cloop.available():
        for flags in (cloop.PLAIN, cloop.NO_ERRNO):
            loop = cloop.c_loop(flags, x0, steps)
            found[_c_name(flags)] = (lambda loop=loop: loop()[0]), AS_FAST_AS_C
    if rivals.available("jax", "optax"):
        for name, make in (
            ("Optax in lax.scan, no stop test, no best point", rivals.optax_scan),
            ("Optax in lax.while_loop", rivals.optax_while),
        ):
            found[name] = make(x0, steps), against_xla
    return found


def _check_agreement(n):
    """All last x agree to 1e-9, after few enough steps that rounding errors have not grown."""
    x0 = rosenbrock_start(n)
    expected = _adamnb_loop("inplace", x0, CHECKED_STEPS)()
    others = {form: _adamnb_loop(form, x0, CHECKED_STEPS) for form in COMPILED_FORMS}
    others |= {name: call for name, (call, _) in _rivals(x0, CHECKED_STEPS).items()}
    for name, call in others.items():
        np.testing.assert_allclose(
            call(), expected, rtol=1e-9, atol=1e-9, err_msg=f"{name}, n = {n}"
        )


def rows(effort, threads):
    for n, steps in SIZES.items():
        _check_agreement(n)
        x0 = rosenbrock_start(n)
        others = _rivals(x0, steps)
        forms = [_adamnb_loop(form, x0, steps) for form in COMPILED_FORMS]
        samples = alternate([*forms, *(call for call, _ in others.values())], effort) / steps
        ours = dict(zip(COMPILED_FORMS, samples, strict=False))
        theirs = dict(zip(others, samples[len(forms) :], strict=True))
        work = f"a step of the compiled loop, Rosenbrock n = {n:,}"
        for name, (_, reach) in others.items():
            yield Row(
                work, "minimize, inplace", name, ours["inplace"], theirs[name], at_least=reach
            )
        best_c = _c_name(cloop.NO_ERRNO)
        for form in ("fun+jac", "jac=True"):
            if best_c in theirs:
                yield Row(work, f"minimize, {form}", best_c, ours[form], theirs[best_c])
