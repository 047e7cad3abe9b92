"""The compiled loop over problems: the compiled loop over iterations for one row after the other."""

from numba import types
from numba.extending import overload

from ._driver import GOING, lend, run
from ._rules import INLINED, entry, inner

_iterate_row = inner(run.py_func)


def row_of(block, b):
    """Stand in for block[b], without a share in its memory; None stays None."""


@overload(row_of, jit_options=INLINED)
def _row_of(block, b):
    if isinstance(block, types.NoneType):
        return lambda block, b: None
    return lambda block, b: lend(block)[b]


def rows_of(data, b):
    """Stand in for the tuple of data[i][b]."""


@overload(rows_of, jit_options=INLINED)
def _rows_of(data, b):
    if data.count == 0:
        return lambda data, b: ()
    return lambda data, b: (row_of(data[0], b), *rows_of(data[1:], b))


def borrowed(args):
    """Stand in for the tuple `args`, its arrays without a share in their memory.

    Threads that count references to one array wait for each other.
    """


@overload(borrowed, jit_options=INLINED)
def _borrowed(args):
    if args.count == 0:
        return lambda args: ()
    if isinstance(args.types[0], types.Array):
        return lambda args: (lend(args[0]), *borrowed(args[1:]))
    return lambda args: (args[0], *borrowed(args[1:]))


@entry(nogil=True)
def run_rows(
    method, fun, jac, data, args, reasons, place, x, g, slots, gain, last, scale, lower, upper, s, o,
    steps, rates,
):  # fmt: skip
    """Iterate every problem from number place[0] on that is still going, `steps` times at most.

    All blocks but the options `o` have one axis more than in `run`, the problems; what is adapted in
    the options is set anew in every iteration. `place` holds the number of the problem at work,
    should the user's function raise.
    """
    shared = borrowed(args)
    for b in range(place[0], len(reasons)):
        if reasons[b] == GOING:
            place[0] = b
            reasons[b] = _iterate_row(
                method, fun, jac, rows_of(data, b) + shared, row_of(x, b), row_of(g, b),
                row_of(slots, b), row_of(gain, b), row_of(last, b), row_of(scale, b),
                row_of(lower, b), row_of(upper, b), row_of(s, b), o, steps, rates, None,
            )  # fmt: skip
