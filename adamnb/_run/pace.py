"""The pace of machine code: how much it does until it comes back to Python, for Ctrl-C, time and progress."""

SECONDS = 0.05  # it comes back about this often, ...
SECONDS_ALONE = 0.02  # ... and this often from a single minimisation
FIRST_STEPS = 2  # evaluations of a first call, as many as any run needs
MOST_STEPS = 65_536  # of a call; bounds the memory of learning rates and history
GROWTH = 64  # a call has at most so many times the steps of the one before
GROWTH_AHEAD = 2  # where learning rates are asked for ahead: few more than the steps that were made


def steps_in(seconds: float, steps: int, taken: float, most: int) -> int:
    """Return how many steps last for `seconds`, if `steps` took `taken`; 1 to `most`."""
    return int(min(max(1, steps * seconds / taken), most))
