"""The certified regressions of NIST that `adamnb` carries, from both of NIST's starts."""

from adamnb import _nist
from problems.problem import Problem


def problems():
    """Sixteen problems, "Misra1a/1" to "Lanczos3/2"; start 2 is the nearer one."""
    return [
        Problem(
            name=f"{name}/{number}",
            fun=data.fun,
            x0=start,
            args=(data.x, data.y),
            minimum=data.residual_sum,
            certified=data.certified,
        )
        for name in _nist.DATASETS
        for data in [_nist.load(name)]
        for number, start in enumerate(data.starts, start=1)
    ]
