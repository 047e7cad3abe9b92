"""The table of options: name, default, allowed values, meaning; validation is made from it."""

import difflib
import logging
import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from os import PathLike
from typing import Any

import numba
import numpy as np

from .._compiled.rules import HYPERPARAMETERS as DECLARED
from .._compiled.rules import Hyperparameter
from ..schedules import Plateau
from .arguments import PUBLIC_SCHEMES, SCHEMES, Pair, is_given, refuse_masked, unbounded
from .methods import METHODS, Method


@dataclass(frozen=True)
class Option:
    """One row of the table of options."""

    default: Any
    rule: str  # completes "`name` must ..."
    allows: Callable[[Any], bool]
    meaning: str


def _number(value: Any) -> bool:
    return isinstance(value, numbers.Real | np.bool_) and not isinstance(value, str)


def _between(low: float, high: float) -> Callable[[Any], bool]:
    """Allow low <= value < high."""
    return lambda value: _number(value) and low <= value < high


def _at_least(low: float) -> Callable[[Any], bool]:
    """Allow low <= value, infinity included, NaN not."""
    return lambda value: _number(value) and value >= low


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _threads(value: Any) -> bool:
    """Allow whole numbers from 1 to the number of threads that Numba has."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and 1 <= value <= numba.config.NUMBA_NUM_THREADS


def _whole(value: Any, low: int, high: int) -> bool:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and low <= value <= high


def _workers(value: Any) -> bool:
    """Allow -1, whole numbers from 1, and callables."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return callable(value) or (whole and (value == -1 or value >= 1))


def _finite_numbers(value: Any, positive: bool) -> bool:
    try:
        array = np.asarray(value)
    except ValueError:  # ragged
        return False
    if array.dtype.kind not in "fiub":
        return False
    return bool(np.all(np.isfinite(array)) and np.all(array > 0 if positive else array >= 0))


def _listed(value: Any) -> bool:
    return isinstance(value, list | tuple | range | np.ndarray)


def _whole_numbers(value: Any) -> bool:
    array = np.asarray(value)
    return array.ndim == 1 and array.dtype.kind in "iu" and bool((array >= 1).all())


def _flag(value: Any) -> bool:
    return isinstance(value, bool | np.bool_ | numbers.Integral)


def _file(value: Any) -> bool:
    return isinstance(value, str | PathLike) and bool(str(value))


def _progress(value: Any) -> bool:
    """Allow a way to show progress, or a pair of one and seconds."""
    if isinstance(value, tuple):
        if len(value) != 2 or not (_number(value[1]) and 0 <= value[1] < math.inf):
            return False
        value = value[0]
    return isinstance(value, bool | logging.Logger | logging.LoggerAdapter) or callable(value)


def _exceptions(value: Any) -> bool:
    kinds = value if isinstance(value, tuple) else (value,)
    return all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds)


CONVENTIONS = ("likelihood", "chi2", "least_squares")  # what f is, where errors are asked for
ONE_SIGMA = math.erf(0.5**0.5)  # 68.27 %

_NOT_NEGATIVE = "be a number >= 0"

POLISHERS = ("L-BFGS-B", "TNC", "SLSQP", "trust-constr", "BFGS", "CG")  # the last two: no bounds


def _row(name: str, declared: Hyperparameter) -> Option:
    """Return the row of a hyper-parameter, whose default is the method's."""
    if declared.below is None:
        return Option(None, "be True or False", _flag, declared.meaning)
    rule = f"satisfy 0 <= {name} < {declared.below:g}"
    return Option(None, rule, _between(0, declared.below), declared.meaning)


HYPERPARAMETERS = {name: _row(name, declared) for name, declared in DECLARED.items()}

OPTIONS = {
    "learning_rate": Option(
        None, "be None (automatic), a number >= 0, an array of them, a function of t, or a Plateau",
        lambda value: callable(value) or isinstance(value, Plateau) or _finite_numbers(value, False),
        "step size: None (automatic), float, array of shape (n,), function t -> float with"
        " t = 1, 2, ..., or one of `adamnb.schedules`",
    ),
    **HYPERPARAMETERS,
    "x_scale": Option(
        None, "be None, a number > 0 or an array of them",
        lambda value: _finite_numbers(value, positive=True),
        "typical size of each variable; None: 1, with an automatic learning rate \\|x0\\| (1 where it is 0),"
        " until a variable turns out to be larger, or small beside the others while f feels it less (on a GPU"
        " it stays)",
    ),
    "clip_norm": Option(math.inf, "be a number > 0", _positive, "largest Euclidean norm of a gradient"),
    "maxiter": Option(10_000, _NOT_NEGATIVE, _at_least(0), "largest number of iterations"),
    "maxfun": Option(math.inf, _NOT_NEGATIVE, _at_least(0), "largest number of evaluations of fun"),
    "max_time": Option(math.inf, _NOT_NEGATIVE, _at_least(0), "largest time in seconds"),
    "gtol": Option(
        1e-8, _NOT_NEGATIVE, _at_least(0),
        "converged: the largest projected gradient element, times x_scale, is below `gtol` of the first"
        " one, and below the root of `gtol` times \\|f\\| unless f has fallen to ``gtol**2`` of the first;"
        " in float32, whether of x or of what f returns, 2e-6 is enough, and of differences their error",
    ),
    "ftol": Option(
        1e-12, _NOT_NEGATIVE, _at_least(0),
        "converged: best f gained less, relative to \\|f\\|, in `patience` iterations; 0 is off",
    ),
    "xtol": Option(
        0.0, _NOT_NEGATIVE, _at_least(0), "converged: largest step relative to max(\\|x\\|, x_scale)"
    ),
    "memory": Option(
        None, "be None or a whole number from 0 to 1000",
        lambda value: value is None or _whole(value, 0, 1000),
        "secant pairs of steps and gradients that an automatic learning rate knows curvature by; None"
        " chooses, 0 does without",
    ),
    "patience": Option(100, "be a number >= 1", _at_least(1), "iterations over which ftol is judged"),
    "f_target": Option(
        -math.inf, "be a number", lambda value: _number(value) and value == value,
        "converged: f at or below this value",
    ),
    "polish": Option(
        False, f"be True, False or one of {', '.join(map(repr, POLISHERS))}",
        lambda value: value in POLISHERS if isinstance(value, str) else _flag(value),
        "go on from the best point with a method of SciPy (True: L-BFGS-B), leaving saddles",
    ),
    "verify": Option(
        32, _NOT_NEGATIVE, _at_least(0),
        "success is claimed only where f falls nowhere near: f and gradient agree, and the Hessian, by"
        " differences of as many gradients as there are variables, has no negative eigenvalue; of more than"
        " `verify` variables its lowest is estimated by 16; 0 is off",
    ),
    "errors": Option(
        None, f"be None or one of {', '.join(map(repr, CONVENTIONS))}",
        lambda value: isinstance(value, str) and value in CONVENTIONS,
        "standard errors from the Hessian at the minimum, of an f that is a negative log-likelihood"
        " ('likelihood'), a chi-square ('chi2'), or a sum of squares of residuals whose sigma is unknown"
        " ('least_squares', with `n_data`); Newton's steps improve x where it is off by more than a ten"
        " thousandth of them. What this takes is counted, and no limit ends it",
    ),
    "n_data": Option(
        None, "be a whole number >= 1, or of a batch an array of them",
        lambda value: _whole(value, 1, 2**62) or _whole_numbers(value),
        "number of residuals, for errors='least_squares'",
    ),
    "profile": Option(
        None, "be the number of a variable, or a list of them",
        lambda value: all(_whole(i, -(2**31), 2**31) for i in (value if _listed(value) else [value])),
        "variables, by number, or by name where they have names, that get an interval by their profile"
        " likelihood, as by MINOS: f, at its minimum over all"
        " others, rises by what `level` and `errors` say",
    ),
    "level": Option(
        ONE_SIGMA, "satisfy 0 < level < 1", lambda value: _number(value) and 0 < value < 1,
        "probability of these intervals",
    ),
    "finite_difference": Option(
        None, "be '2-point', '3-point', 'cs' or None",
        lambda value: isinstance(value, str) and value in PUBLIC_SCHEMES,
        "scheme where no gradient is given, for use through SciPy, which keeps `jac` to itself",
    ),
    "finite_diff_rel_step": Option(
        None, "be None, a number > 0 or an array of them",
        lambda value: _finite_numbers(value, positive=True),
        "step of differences relative to \\|x\\| (to x_scale where x is 0), a number or one for each"
        " variable; None chooses it from the noise of f and its curvature",
    ),
    "workers": Option(
        None, "be None, -1, a whole number >= 1 or a map-like callable", _workers,
        "evaluate differences side by side: number of processes (-1: all cores), or a callable"
        " ``workers(func, iterable)`` such as ``multiprocessing.Pool().map``; `fun` and `args` are"
        " pickled, the bits are the same",
    ),
    "catch": Option(
        (), "be an exception class or a tuple of them", _exceptions,
        "exceptions of fun and jac, but at the start, that count as f = infinity at that point: an"
        " automatic learning rate goes back to the best one",
    ),
    "noisy": Option(
        None, "be None, True or False", lambda value: isinstance(value, bool),
        "whether f or its gradient is noisy: None finds out where an automatic learning rate fails, by"
        " evaluating a point again; True says so, for any learning rate; the result is then an average of"
        " the points, with `noise` and `fun_stderr`. False never evaluates a point again",
    ),
    "history": Option(
        False, "be True or False", _flag, "keep f, gradient norm and learning rate of every iteration"
    ),
    "disp": Option(
        False, "be True, False or a whole number n >= 0",
        lambda value: isinstance(value, bool | np.bool_) or _whole(value, 0, 2**62),
        "print a summary, and warn when not converged; a number n prints a table of every n-th iteration as"
        " well, 1 of each, of a single minimisation",
    ),
    "progress": Option(
        False,
        "be True, False, a callable, a logging.Logger, or a pair of one of them and a number of seconds",
        _progress,
        "show how far it is: True on a bar (needs tqdm); a callable gets a point with `nit`, `nfev`, `fun`"
        " (the lowest), `gradient_norm` and `learning_rate`, and may raise `StopIteration`; a"
        " `logging.Logger` gets a line every 10 s, with ``(logger, 60)`` every 60 s. Loops in machine code"
        " stay there, and report some 50 times a second",
    ),
    "checkpoint": Option(
        None, "be None or the name of a file", _file,
        "file (.npz) in which the run is saved now and then, at its end, and when Ctrl-C or an exception"
        " ends it, for `resume`; it is whole at any time. Where it cannot be written the run goes on, with a"
        " warning",
    ),
    "checkpoint_every": Option(
        60.0, _NOT_NEGATIVE, _at_least(0), "seconds between two checkpoints"
    ),
    "checkpoint_digest": Option(
        False, "be True or False", _flag,
        "keep a digest of the data, `args` and `data`, in the checkpoint; a run with other data does not go"
        " on from it",
    ),
    "resume": Option(
        None, "be None or the name of a file", _file,
        "checkpoint to go on from, with the bits of a run that was not interrupted; all arguments are to be"
        " the same, but limits such as `maxiter`, which count from the first start. `max_time` begins anew."
        " `CheckpointError` for a file that is damaged, or of another problem",
    ),
    "state": Option(
        None, "be a dict as `result.state` is", lambda value: isinstance(value, Mapping),
        "``result.state`` to go on from, as `resume` does from a file",
    ),
    "comm": Option(
        None, "be None or a communicator of mpi4py", lambda value: hasattr(value, "Allgather"),
        "communicator of mpi4py whose ranks minimise together, called by all of them: `fun` and its gradient"
        " are each rank's share of a sum over data, and x and the result are the same on every rank, to the"
        " bit",
    ),
    "sharded": Option(
        False, "be True or False", _flag,
        "with `comm`: x0 is this rank's part of the variables, and so is all else that has an element for"
        " each: bounds, x and the gradient of the result. `fun` gets its part, asks other ranks for what it"
        " needs of theirs, and returns a share of f; the gradient is that of the whole f by its part."
        " `verify` is off, and each rank has a checkpoint of its own",
    ),
    "threads": Option(
        None, f"be None or a whole number from 1 to {numba.config.NUMBA_NUM_THREADS}", _threads,
        "threads for large x: None chooses, 1 is serial; the bits do not depend on it",
    ),
}  # fmt: skip


# Names of options here, and what others call them, in lower case; what has an "=" is no option.
ELSEWHERE = {
    ("learning_rate",): "lr alpha eta rate step step_size stepsize schedule scheduler",
    ("beta1",): "beta_1 b1 mu momentum",
    ("beta2",): "beta_2 b2 rho",
    ("beta1", "beta2"): "beta betas",
    ("eps",): "epsilon",
    ("weight_decay",): "l2 wd decay",
    ("maxiter",): "max_iter maxit max_iterations n_iter niter iterations epochs steps num_steps",
    ("maxfun",): "max_nfev maxfev max_fun max_eval maxeval",
    ("max_time",): "timeout time_limit maxtime",
    ("gtol", "ftol"): "tol tolerance rtol atol",
    ("gtol",): "pgtol g_tol",
    ("ftol",): "fatol f_tol factr",
    ("xtol",): "xatol x_tol xrtol",
    ("f_target",): "target f_min fmin stopval",
    ("patience",): "n_iter_no_change early_stopping",
    ("clip_norm",): "clip clipnorm global_clipnorm grad_clip max_norm max_grad_norm",
    ("x_scale",): "scale scaling typical_x diag",
    ("disp",): "verbose verbosity display iprint",
    ("history",): "return_all trace",
    ("progress",): "progressbar progress_bar verbose_step tqdm bar",
    ("errors",): "stderr uncertainty uncertainties absolute_sigma errordef hesse",
    ("profile",): "minos",
    ("level",): "cl confidence_level",
    ("threads",): "n_jobs num_threads nthreads",
    ("method='amsgrad'",): "amsgrad",
    ("method='nesterov'",): "nesterov",
}
MEANT = {other: own for own, others in ELSEWHERE.items() for other in others.split()}


def check(name: str, value: Any, option: Option) -> None:
    """Raise a `ValueError` or `TypeError` with name, rule and value unless `value` is allowed."""
    refuse_masked(name, value)
    if option.allows(value):
        return
    kind = (
        ValueError if _number(value) or isinstance(value, np.ndarray | list | tuple) else TypeError
    )
    if isinstance(value, str) and "'" in option.rule:
        kind = ValueError
    raise kind(f"`{name}` must {option.rule}; got {value!r}.")


def suggest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean `...`?" for the known names that another's name means, or nothing."""
    known = list(known)
    meant = [own for own in MEANT.get(name.lower(), ()) if own in known or "=" in own]
    meant = meant or difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {' and '.join(f'`{own}`' for own in meant)}?" if meant else ""


@cache
def defaults_of(name: str) -> dict[str, Any]:
    """Return the options that a method has, with their defaults; not to be changed."""
    own = METHODS[name].defaults
    return {
        name: own.get(name, option.default)
        for name, option in OPTIONS.items()
        if name not in HYPERPARAMETERS or name in own
    }


def complete(method: Method, given: Mapping[str, Any], tol: float | None = None) -> dict[str, Any]:
    """Return all options of `method`: those given, checked, and the defaults of None and the others.

    `tol` is what `gtol` and `ftol` are where they are not given.

    Raises
    ------
    TypeError
        For an unknown name, naming the nearest one, or a value of the wrong kind.
    ValueError
        For a value that is not allowed.
    """
    known = defaults_of(method.name)
    if tol is not None:
        check("tol", tol, OPTIONS["gtol"])
        given = {"gtol": tol, "ftol": tol} | dict(given)
    for name, value in given.items():
        if name not in known:
            text = f"`{name}` is not an option of method {method.name!r}."
            raise TypeError(text + suggest(str(name), known))
        if value is not None:
            check(name, value, OPTIONS[name])
    chosen = {name: value for name, value in given.items() if value is not None}
    if "learning_rate" not in chosen and "eps" in known and method.mean_momentum:
        chosen.setdefault("eps", 0.0)  # steps are then the same for every multiple of the objective
    return known | chosen


def check_polish(polish: Any, bounded: bool) -> None:
    """Raise a `ValueError` if `polish` names a method that does not keep bounds."""
    if bounded and polish in ("BFGS", "CG"):
        raise ValueError(f"`polish` must keep the bounds; got {polish!r}: use True or 'TNC'.")


def check_sharded(o: Mapping[str, Any], given: Mapping[str, Any], jac: Any) -> None:
    """Raise a `ValueError` for what cannot be had where every rank has a part of x."""
    if not o["sharded"]:
        return
    if o["comm"] is None:
        raise ValueError(
            "`sharded` needs `comm`, the communicator of the ranks that have the parts."
        )
    if not is_given(jac):
        raise ValueError(
            "`sharded` needs the gradient of f by this rank's part of x: give `jac`, a function, True or"
            " 'inplace'."
        )
    for name in ("polish", "errors", "verify"):
        if given.get(name):
            raise ValueError(
                f"`{name}` needs the whole of x on a rank; leave it out with `sharded`."
            )


def check_errors(
    o: Mapping[str, Any], bounds: Pair | None, shape: tuple[int, ...], single: bool
) -> None:
    """Raise a `ValueError` for options of standard errors that do not go together.

    Parameters
    ----------
    bounds : pair of ndarray of shape (..., n), or None
    shape : tuple of int
        Theirs.
    single : bool
        Whether it is for one problem.
    """
    convention, n_data, profile = o["errors"], o["n_data"], o["profile"]
    for name in ("n_data", "profile"):
        if o[name] is not None and convention is None:
            raise ValueError(
                f"`{name}` needs `errors`, which says what f is; got {name}={o[name]!r} without."
            )
    if convention == "least_squares":
        low, high = bounds or unbounded(shape)
        fitted = (low < high).sum(axis=-1)
        if n_data is None:
            raise ValueError(
                "`errors='least_squares'` needs `n_data`, the number of residuals, for their sigma."
            )
        counts = np.asarray(n_data)
        if counts.ndim and (single or counts.shape != fitted.shape):
            wanted = "one number" if single else f"a number or have shape {fitted.shape}"
            raise ValueError(f"`n_data` must be {wanted}; got shape {counts.shape}.")
        if (counts <= fitted).any():
            raise ValueError(
                f"`n_data` must be larger than the number of variables, {fitted.max()}; got"
                f" {int(counts.min())}."
            )
    elif n_data is not None:
        raise ValueError(
            f"`n_data` is for errors='least_squares'; got errors={convention!r}: leave it out."
        )
    if profile is not None:
        n = shape[-1]
        if not single:
            raise ValueError(
                "`profile` is for a single problem: `minimize` it, from its row of the batch."
            )
        for i in profile if _listed(profile) else [profile]:
            if not -n <= i < n:
                raise ValueError(f"`profile` must name variables from 0 to {n - 1}; got {i}.")


def check_differences(jac: Any, given: Mapping[str, Any]) -> None:
    """Raise a `ValueError` for an option of differences without them, or SciPy's `eps` with them."""
    if not (isinstance(jac, str) and jac in SCHEMES):
        for name in ("finite_diff_rel_step", "workers"):
            if given.get(name) is not None:
                raise ValueError(
                    f"`{name}` is for differences, and `jac` gives the gradient: leave one of them out."
                )
    elif given.get("eps") is not None and given.get("learning_rate") is None:
        raise ValueError(
            f"`eps` is the step of differences in SciPy and a hyper-parameter here; got {given['eps']!r}"
            " without a gradient. For the step take `finite_diff_rel_step`, which is relative to |x|;"
            " for the hyper-parameter give `learning_rate` as well."
        )


def checked_rate(rate: Callable[[int], float], t: int) -> float:
    """Return the learning rate of step t, if it is one."""
    value = rate(t)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"`learning_rate` must return a number; got {value!r} at t = {t}."
        ) from None
    if not 0 <= number < np.inf:
        raise ValueError(f"`learning_rate` must return a number >= 0; got {value!r} at t = {t}.")
    return number
