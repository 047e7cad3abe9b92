"""Iterations over elements that are on a device: `iterate`, given what loops there found.

On a device one iteration is three launches: the elements are *measured*, one thread *judges*, the
elements are *moved*. `judge` is `iterate`: in place of blocks it gets three short vectors, and the
stand-ins for loops over elements read there what was measured, and write what is to be done.

* numbers, in the dtype of x, in the place of x: coefficients and the loop's numbers for a move
* found, float64, in the place of g: what was measured
* orders, int64, in the place of the slots: which rows to mix and to move, or why to stop
"""

from math import isnan

from numba.extending import overload

from ._driver import FUN, G_BEST, NFEV, NJEV, RATE, STEP, iterate
from ._kernels import Shell, empty, largest_move, measure, mix, sweep_all
from ._rules import INLINED, Coefficients, entry

# found: one reduction each; the last two are remembered
(TOP, MOVED, ALONG, NORM2, LAST2, ALONG_BEST, NORM2_BEST, MEASURED) = range(8)
REDUCTIONS = 6
(REASON, HERE, THERE, ROW, EMPTY, MIX, BEFORE, POINT, ROW_BEFORE, POINT_ROW) = range(10)  # orders
ORDERS = 10
SHELL = len(Coefficients._fields)  # numbers: where those of the loop begin
PART = SHELL + len(Shell._fields)  # of the way between the points that are mixed
NUMBERS = PART + 1


@overload(measure, jit_options=INLINED)
def _measure(method, x, here, g, row, last, scale, lower, upper, summed):
    def measured(method, x, here, g, row, last, scale, lower, upper, summed):
        if row == int(g[MEASURED]):
            return g[TOP], g[ALONG], g[NORM2], g[LAST2]
        return g[TOP], g[ALONG_BEST], g[NORM2_BEST], 0.0

    return measured if method.loops == "elsewhere" else None


@overload(empty, jit_options=INLINED)
def _empty(method, g, slots, last):
    def ordered(method, g, slots, last):
        slots[EMPTY] = 1
        g[ALONG_BEST] = 0.0

    return ordered if method.loops == "elsewhere" else None


@overload(mix, jit_options=INLINED)
def _mix(method, x, g, slots, before, here, x_into, row_before, row, g_into, part):
    def ordered(method, x, g, slots, before, here, x_into, row_before, row, g_into, part):
        slots[MIX], slots[BEFORE], slots[POINT] = 1, before, here
        slots[ROW_BEFORE], slots[POINT_ROW] = row_before, row
        x[PART] = part

    return ordered if method.loops == "elsewhere" else None


@overload(largest_move, jit_options=INLINED)
def _largest_move(method, x, here, there, g, scale):
    def later(method, x, here, there, g, scale):
        return g[MOVED]  # measured with the next gradient

    return later if method.loops == "elsewhere" else None


@overload(sweep_all, jit_options=INLINED)
def _sweep_all(method, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k):
    def ordered(method, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k):
        slots[HERE], slots[THERE], slots[ROW] = here, there, row
        for j in range(len(c)):
            x[j] = c[j]
        for j in range(len(k)):
            x[SHELL + j] = k[j]

    return ordered if method.loops == "elsewhere" else None


@entry
def judge(method, numbers, found, orders, gain, last, s, o, fun, rate):
    """Make one iteration with what was measured at the current point, whose f is `fun`.

    `gain` and `last` are None or not; nothing is read there. `rate` is NaN where the learning rate is
    the state's own.
    """
    s[FUN], s[STEP] = fun, found[MOVED]
    s[NFEV] += 1.0
    s[NJEV] += 1.0
    if not isnan(rate):
        s[RATE] = rate
    orders[EMPTY] = orders[MIX] = 0
    orders[REASON] = iterate(
        method, numbers, None, found, orders, gain, last, None, None, None, s, o
    )
    if s[G_BEST] == found[MEASURED]:
        found[NORM2_BEST] = found[NORM2]
