"""Why a minimisation stops: each reason with its number, its status and its words."""

# Status, as `Result.status` has it.
CONVERGED, LIMIT, NO_PROGRESS, NOT_FINITE, OUT_OF_TIME, FAILED, STOPPED = 0, 1, 2, 3, 4, 5, 99

REASONS: dict[int, "Reason"] = {}


class Reason(int):
    """A reason to stop: a number in compiled code, and what Python says of it.

    Attributes
    ----------
    status : int
        What `Result.status` is.
    brief : str
        How a batch names it.
    message : str
        How a single run says it: a format of the state `s`, the options `o`, the part `relative` of the
        first gradient that is left, `where` a gradient is not finite, the advice to `polish`, and a
        `detail` that only Python knows.
    """

    status: int
    brief: str
    message: str

    def __new__(cls, number: int, status: int, brief: str, message: str) -> "Reason":
        reason = super().__new__(cls, number)
        reason.status, reason.brief, reason.message = status, brief, message
        REASONS[number] = reason
        return reason


# Found by compiled code, 0 and above.
GOING = Reason(0, LIMIT, "not finished", "Not finished.")
BY_GRADIENT = Reason(
    1, CONVERGED, "gradient within `gtol`",
    "Converged: the projected gradient fell to {relative:.3g} of the first one (`gtol` = {o[gtol]:g}).",
)  # fmt: skip
BY_OBJECTIVE = Reason(
    2, CONVERGED, "f at rest within `ftol`",
    "Converged: the best f gained less than `ftol` = {o[ftol]:g} (relative) in {o[patience]:g} iterations,"
    " and the gradient fell to {relative:.3g} of the first.",
)  # fmt: skip
BY_STEP = Reason(
    3, CONVERGED, "step within `xtol`",
    "Converged: the largest relative step {s.largest_step:.3g} is within `xtol` = {o[xtol]:g}.",
)  # fmt: skip
BY_TARGET = Reason(
    4, CONVERGED, "`f_target` reached",
    "Converged: f = {s.fun_best:g} has reached `f_target` = {o[f_target]:g}.",
)  # fmt: skip
BY_MAXITER = Reason(
    5, LIMIT, "`maxiter` reached",
    "Maximum number of iterations has been exceeded (`maxiter` = {o[maxiter]:g}); the gradient fell to"
    " {relative:.3g} of the first one.",
)  # fmt: skip
BY_MAXFUN = Reason(
    6, LIMIT, "`maxfun` reached",
    "Maximum number of function evaluations has been exceeded (`maxfun` = {o[maxfun]:g}).",
)  # fmt: skip
STUCK = Reason(
    7, NO_PROGRESS, "no further progress",
    "No further progress possible: learning rate {s.learning_rate:.1g} after {s.failures:g} returns to"
    " the best point, the gradient fell to {relative:.3g} of the first one. Check the gradient{polish}.",
)  # fmt: skip
BAD_FUN = Reason(
    8, NOT_FINITE, "`fun` not finite",
    "`fun` is {s.fun} in iteration {s.nit}; the best point is kept.",
)  # fmt: skip
BAD_JAC = Reason(
    9, NOT_FINITE, "`jac` not finite",
    "`jac` is not finite{where} in iteration {s.nit}; the best point is kept.",
)  # fmt: skip
TOO_LARGE = Reason(
    10, NOT_FINITE, "`jac` too large to be squared",
    "`jac` is too large to be squared ({s.gradient_norm:.3g} in iteration {s.nit}): divide the"
    " objective by a constant.",
)  # fmt: skip
WRONG_SHAPE = Reason(11, NOT_FINITE, "`jac` of another shape", "`jac` returned another shape.")
HIGHER = Reason(
    12, NO_PROGRESS, "stationary above the best point",
    "Not converged: the gradient vanished where f = {s.fun:g}, above the best point (f = {s.fun_best:g}),"
    " which is returned and where it is {relative:.3g} of the first one. Start again from there.",
)  # fmt: skip
BY_ERROR = Reason(
    13, CONVERGED, "gradient within its error",
    "Converged: the gradient fell to {relative:.3g} of the first one, within the error of its differences.",
)  # fmt: skip
TOO_SMALL = Reason(
    14, NOT_FINITE, "`jac` too small to be squared",
    "`jac` is too small to be squared ({s.gradient_norm:.3g} in iteration {s.nit}): divide the"
    " objective by a constant.",
)  # fmt: skip
BY_ROUNDING = Reason(
    15, CONVERGED, "f at rest within its rounding",
    "Converged: no step promises to lower f by more than it is rounded, and the gradient fell to"
    " {relative:.3g} of the first one.",
)  # fmt: skip
BY_NOISE = Reason(
    16, NO_PROGRESS, "another value at the same point",
    "f and its gradient are not the same when they are evaluated again at one point. Give `noisy=True`.",
)  # fmt: skip

# Known to Python alone, below 0; those that a run is told stand in its field `stop`.
OUT_OF_SECONDS = Reason(
    -1, OUT_OF_TIME, "`max_time` reached",
    "Time limit of `max_time` = {o[max_time]:g} s has been reached.",
)  # fmt: skip
INTERRUPTED = Reason(
    -2, STOPPED, "stopped by `progress`", "`{detail}` raised `StopIteration`."
)  # fmt: skip
SADDLE = Reason(
    -3, NO_PROGRESS, "no minimum: a saddle",
    "Not a minimum: the gradient fell to {relative:.3g} of the first one, but f curves downwards from"
    " there. Start elsewhere{polish}.",
)  # fmt: skip
POLISHED = Reason(
    -4, CONVERGED, "polished",
    "Converged: polished until f no longer fell, and the gradient fell to {relative:.3g} of the first"
    " one.",
)  # fmt: skip
ALL_FIXED = Reason(
    -5, CONVERGED, "all variables fixed", "All independent variables were fixed by bounds."
)  # fmt: skip
BAD_START = Reason(-6, NOT_FINITE, "`x0` not finite", "`x0` is not finite.")
RAISED = Reason(
    -7, FAILED, "`fun` or `jac` raised",
    "An exception ended the run in iteration {s.nit}; the best point is kept.",
)  # fmt: skip
CONTRADICTION = Reason(
    -8, NO_PROGRESS, "`jac` contradicts `fun`",
    "`jac` is not the gradient of `fun`: {detail} (`adamnb.check_gradient` finds the elements).",
)  # fmt: skip
FALLS = Reason(
    -9, NO_PROGRESS, "f falls without end",
    "No minimum: f still falls as {detail}. Bound that variable.",
)  # fmt: skip
FLAT = Reason(
    -10, NO_PROGRESS, "f does not change around `x0`",
    "f does not change around `x0`, where the gradient is 0. Start elsewhere, or give `x_scale`.",
)  # fmt: skip
LOWER = Reason(
    -11, NO_PROGRESS, "f falls on along a flat direction",
    "Not converged: the gradient fell to {relative:.3g} of the first one, but f falls on along a direction"
    " in which it hardly curves. Start again from there, give `x_scale`{polish}.",
)  # fmt: skip
AT_LIMIT = Reason(
    -12, CONVERGED, "f at a limit",
    "Converged to a limit, and no minimum: f still falls as {detail}, but by no more than is left of it.",
)  # fmt: skip
RATE_ENDED = Reason(
    -13, NO_PROGRESS, "learning rate 0",
    "The learning rate that was given fell to {s.learning_rate:.1g}, when the gradient had fallen to"
    " {relative:.3g} of the first one.",
)  # fmt: skip
AT_NOISE = Reason(
    -15, CONVERGED, "no improvement that noise would not hide",
    "Converged to within the noise: no improvement can be told from it. {detail}.",
)  # fmt: skip
NOISY_LIMIT = Reason(
    -16, LIMIT, "`maxiter` or `maxfun` reached, under noise",
    "f is noisy, and a limit was reached before it was clear that f falls no further (`maxiter` ="
    " {o[maxiter]:g}, `maxfun` = {o[maxfun]:g}). {detail}.",
)  # fmt: skip
BY_EPOCHS = Reason(
    -17, LIMIT, "`epochs` done",
    "All epochs are done (`epochs` = {o[epochs]:g}); over all rows the gradient fell to {relative:.3g} of the"
    " first one.",
)  # fmt: skip
NOT_LOWER = Reason(
    -18, NO_PROGRESS, "f over all rows above that at `x0`",
    "No progress: over all rows f is {detail} at the end, above that at `x0`, which is returned. Lower"
    " `learning_rate`, or take larger batches.",
)  # fmt: skip
BAD_DATA = Reason(
    -14, NOT_FINITE, "data not finite", "The data are not finite, or no point counts."
)
OUT_OF_RANGE = Reason(
    -19, NOT_FINITE, "squares of data out of range",
    "The squares of the data, over their errors, are beyond the range of float64: take another unit of"
    " `ydata`.",
)  # fmt: skip
BY_STANDARD_ERROR = Reason(
    -20, CONVERGED, "within `accuracy`",
    "Converged: over all rows the minimum is {detail} standard errors away.",
)  # fmt: skip
UNSUITED = Reason(
    -21, NO_PROGRESS, "samples of no use", "A sample of the rows is of no use here: {detail}."
)  # fmt: skip
OUT_OF_PASSES = Reason(
    -22, LIMIT, "`epochs` reached", "All rows have been seen as often as `epochs` allows."
)  # fmt: skip
