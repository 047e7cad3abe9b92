"""Why there are standard errors, or none: each verdict with its number and its words."""


class Verdict(int):
    """Why there is a covariance or none: a number, its words for a batch, and those for one problem."""

    brief: str
    message: str

    def __new__(cls, number: int, brief: str, message: str) -> "Verdict":
        verdict = super().__new__(cls, number)
        verdict.brief, verdict.message = brief, message
        return verdict


FOUND = Verdict(0, "standard errors found", "Standard errors from the Hessian at x.")
NOT_AT_MINIMUM = Verdict(
    1, "not at the minimum",
    "No standard errors: Newton's step from x is {off:.2g} of them long, and f does not follow it. Raise"
    " `maxiter`, or polish=True.",
)  # fmt: skip
DOWNWARDS = Verdict(
    2, "Hessian not positive definite",
    "No standard errors: the Hessian is not positive definite, f curves downwards along {direction}.",
)  # fmt: skip
UNDETERMINED = Verdict(
    3, "parameters not determined",
    "No standard errors: f does not change along {direction}, which the data do not determine. Fix one of"
    " these by equal bounds, or take a single parameter for what they have in common.",
)  # fmt: skip
INFINITE = Verdict(
    4, "not finite beside x", "No standard errors: f or its gradient is not finite beside x."
)
NOISY = Verdict(
    5, "Hessian lost in noise",
    "No standard errors: differences of f or its gradient scatter too much for a Hessian.",
)  # fmt: skip
ALL_HELD = Verdict(
    6, "all variables at bounds", "No standard errors: every variable is at a bound."
)
NO_FIT = Verdict(7, "no fit", "No standard errors: there is no fit.")
VERDICTS = (
    FOUND, NOT_AT_MINIMUM, DOWNWARDS, UNDETERMINED, INFINITE, NOISY, ALL_HELD, NO_FIT,
)  # fmt: skip
