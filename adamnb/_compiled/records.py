"""The numbers that a run remembers, and those it is given: records with names."""

import numpy as np

from .rate import AUTOMATIC
from .rules import HYPERPARAMETERS


def record(whole: tuple[str, ...] = (), real: tuple[str, ...] = ()) -> np.dtype:
    """Return the dtype of a record of 8-byte numbers, whose elements have attributes."""
    fields = [(name, np.int64) for name in whole] + [(name, np.float64) for name in real]
    return np.dtype((np.record, np.dtype(fields, align=True)))


# The numbers of every run. `x`, `x_best`, `x_before`, `g` and `g_best` are rows of the vectors x and g.
WHOLE = (
    "nfev", "njev",  # evaluations of f and of the gradient, side by side for who counts them
    "nit", "t",  # steps taken, and those since the memory was last empty
    "x", "x_best", "x_before", "g", "g_best",  # current and best row, and the one stepped from
    "nit_mark", "nit_fell",  # iterations in which the next two were noted
    "failures",  # returns to the best point since it was found
    "streak",  # steps since the momentum was last emptied
    "rounding",  # steps in a row that promise less than the rounding of f
    "in_error",  # points in a row whose gradient was within its error
    "fruitless",  # phases without pairs in a row since which f has not fallen
    "wrong_size",  # length of a gradient that is not that of x
    "stop",  # reason for which Python wants the run to end, GOING if none
)  # fmt: skip
REAL = (
    "fun", "fun_first", "fun_best",
    "fun_mark", "fun_fell",  # best f when ftol was last judged; f when a plateau was last left
    "gradient_norm", "gradient_norm_first", "gradient_norm_best",  # largest scaled projected element
    "fun_error", "gradient_error",  # noise of f and of differences, in the units of the norm; else 0
    "largest_step",  # relative to the size of the variable, where xtol asks for it
    "size_limit",  # of a variable whose size is learnt
    "learning_rate",
    "cosine",  # between the previous step and the descent direction
)  # fmt: skip

# All of them: those of every run, of steps by pairs, of averages, of a run that goes on from another one.
STATE = record(
    whole=(
        *WHOLE,
        "curved",  # whether steps are made by secant pairs
        "pairs", "newest",  # how many there are, and which is the last
        "modelled",  # whether the last step was made by them, or by the diagonal alone
        "nit_pairs", "phase",  # iteration from which pairs are tried again; steps without them the next time
        "looked",  # whether f at the best point has been evaluated again
        "looks", "looks_here",  # how often it was another, and evaluations at the point that is best now
        "taken_in", "sum_count",  # points that the average is of, and those that the next sums are of
        "judged",  # whether the run ended where it was, and may go on with a step from there, ...
        "origin_x", "origin_g", "origin_best",  # ... which knows where the last one came from,
    ),
    real=(
        *REAL,
        "slope", "part",  # of the last step: along it, and the part of the whole step that it is
        "length_tried", "length",  # of the last step, and of the last that was accepted
        "fun_left",  # f when pairs were last left
        "mismatch",  # of f and its slopes, since a step was accepted
        "metric_mean",
        "noise2",  # sum of squares of the noise of f in its looks
        "sum_fun", "sum_fun2",  # of f - fun_mark, on the way of an average, and of its squares
        "rate_most", "weights",  # largest learning rate so far; sum of its squares
        "clock", "agreement",  # steps that did not agree with the one before; mean of their cosines
        "along", "norm2", "previous2",  # ... and what was measured there (`loops.Measured`)
    ),
)  # fmt: skip

# Hyper-parameters, tolerances and constants of a run, which it never writes.
OPTIONS = record(
    whole=("patience", "maxiter", "maxfun", "plateau_patience"),
    real=(
        *HYPERPARAMETERS, *AUTOMATIC, "factor_up", "factor_down",
        "log_beta1", "log_beta2",
        "l2", "decay",  # weight decay as part of the gradient, or of x itself
        "clip_norm", "gradient_limit",  # norm to clip to; largest element that can be squared
        "gradient_least",  # first gradient of which more than the leading digits can be squared
        "gtol", "ftol", "xtol", "f_target",
        "rounding",  # of x, relative
        "growth",  # of a variable beyond its size, from which the size is taken for wrong
        "plateau_factor", "plateau_threshold", "plateau_final",
        "rate_lost",  # learning rate below which there is no further progress
        "rate_per_gradient",  # whether the first learning rate is divided by the first gradient
        "mean_momentum",  # see `Method.mean_momentum`
        "average_power", "average_least",  # see `averaging.weight`
        "between",  # part of the way from the base to the average, see `averaging.go_between`
        "looks_out",  # whether a run ends where f is noisy, to go on as it is then
    )
)  # fmt: skip
