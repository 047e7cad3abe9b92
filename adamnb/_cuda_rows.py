"""The loop over problems for GPUs: a thread each, the compiled loop over iterations in it.

On the device the problems are the last axis of every block, so that neighbouring threads read
neighbouring numbers. Of few variables (`NEAR`) a thread copies its problem's state into arrays of its
own, whose size is known when the kernel is compiled: loops over variables are unrolled, most of the
state is in registers, and memory is passed over twice a launch, not many times an iteration. Of more
variables a thread works in the blocks themselves, which is right for any number of them, and slower.
"""

import operator
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, is_jitted, models, overload, register_model

from . import _driver as D
from ._compiled import array_type, machine_code
from ._cuda import DEVICE, KERNEL, SIMULATED, cuda
from ._driver import G_ROWS, GOING, SPARE, X_ROWS
from ._methods import Method
from ._objective import CompiledObjective
from ._result import BAD_START, RAISED
from ._rules import BETA1, INLINED, LOG_BETA1, OPTIONS

if not SIMULATED:
    from . import _cuda_ufuncs  # noqa: F401

# Up to how many variables a thread has its own vectors, by the size of a number: more would not stay in
# registers.
NEAR = {4: 11, 8: 6}
SCALARS = len(D.SCALARS)
ALL_OPTIONS = types.UniTuple(types.float64, len(OPTIONS))
ADAPTED = 1 + max(BETA1, LOG_BETA1)  # options that `adapt` may change are among the first
VECTORS = 5  # gains, last step, scale and bounds


def columns_of(blocks, b):
    """Return the tuple of what each block has for problem b, its last axis; None stays None."""
    return tuple(
        None if block is None else block[b] if block.ndim == 1 else block[..., b]
        for block in blocks
    )


@overload(columns_of, jit_options=INLINED)
def _columns_of(blocks, b):
    if blocks.count == 0:
        return lambda blocks, b: ()
    if isinstance(blocks.types[0], types.NoneType):
        return lambda blocks, b: (None, *columns_of(blocks[1:], b))
    if blocks.types[0].ndim == 1:
        return lambda blocks, b: (blocks[0][b], *columns_of(blocks[1:], b))
    return lambda blocks, b: (blocks[0][..., b], *columns_of(blocks[1:], b))


@cuda.jit(**DEVICE)
def fetch(block, own, b):
    """Copy a vector of problem b."""
    for i in range(own.size):
        own[i] = block[i, b]


@cuda.jit(**DEVICE)
def store(own, block, b):
    """Copy a vector of problem b back."""
    for i in range(own.size):
        block[i, b] = own[i]


def taken(blocks, own, b):
    """Copy vectors of problem b into rows of `own`, and return the tuple of these; None stays None."""
    for block, row in zip(blocks, own, strict=True):
        if block is not None:
            fetch(block, row, b)
    return tuple(None if block is None else row for block, row in zip(blocks, own, strict=True))


@overload(taken, jit_options=INLINED)
def _taken(blocks, own, b):
    if blocks.count == 0:
        return lambda blocks, own, b: ()
    if isinstance(blocks.types[0], types.NoneType):
        return lambda blocks, own, b: (None, *taken(blocks[1:], own[1:], b))

    def first_taken(blocks, own, b):
        row = own[0]
        fetch(blocks[0], row, b)
        return (row, *taken(blocks[1:], own[1:], b))

    return first_taken


class OptionsType(types.Type):
    """Numba type of the options of a thread.

    Most are parameters of the kernel, which take no register and no load; those that `adapt` writes are
    the thread's own.
    """

    def __init__(self) -> None:
        super().__init__(name="Options")


@register_model(OptionsType)
class OptionsModel(models.StructModel):
    """The tuple of all options, and the thread's own first ones."""

    def __init__(self, manager: Any, kind: types.Type) -> None:
        super().__init__(manager, kind, [("shared", ALL_OPTIONS), ("own", D.RATES)])


def options_of(shared, own):
    """Return the options of a thread; `own` has the first ones."""
    return np.array(shared)  # in the simulator


@intrinsic
def _paired(typingctx, shared, own):
    def codegen(context, builder, signature, arguments):
        pair = cgutils.create_struct_proxy(signature.return_type)(context, builder)
        pair.shared, pair.own = arguments
        return pair._getvalue()

    return OptionsType()(shared, own), codegen


@intrinsic
def _own(typingctx, o):
    def codegen(context, builder, signature, arguments):
        return cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0]).own

    return D.RATES(o), codegen


@intrinsic(prefer_literal=True)
def _shared(typingctx, o, i):
    def codegen(context, builder, signature, arguments):
        pair = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0])
        return builder.extract_value(pair.shared, i.literal_value)

    return types.float64(o, i), codegen


@overload(options_of, jit_options=INLINED)
def _options_of(shared, own):
    return lambda shared, own: _paired(shared, own)


@overload(operator.getitem, jit_options=INLINED, prefer_literal=True)
def _get_option(o, i):
    if not isinstance(o, OptionsType):
        return None
    return (lambda o, i: _own(o)[i]) if i.literal_value < ADAPTED else (lambda o, i: _shared(o, i))


@overload(operator.setitem, jit_options=INLINED)
def _set_option(o, i, value):
    if not isinstance(o, OptionsType):
        return None

    def put(o, i, value):
        _own(o)[i] = value

    return put


def _iterate_simulated(method, fun, jac, args, *rest):
    """Run the host's machine code: the simulator has the host's memory, but no overloads."""
    *blocks, steps, rates, trace = rest
    args = tuple(map(_here, args))
    there: list[Any] = [None if block is None else np.asarray(_host(block)) for block in blocks]
    here = [None if block is None else np.ascontiguousarray(block) for block in there]
    kinds = [types.none if block is None else array_type(block.dtype, block.ndim) for block in here]
    form = {True: "inplace", None: True}.get(jac, jac)
    own = CompiledObjective(fun, form, args, there[0].dtype)
    kinds += [types.int64, types.none if rates is None else D.RATES, types.none]
    run = machine_code(D.run, (method, *own.types, *kinds))
    reason = run(None, *own.values, *here, steps, _host(rates), trace)
    for new, old in zip(here, there, strict=True):
        if old is not None:
            old[...] = new
    return reason


def _host(array: Any) -> Any:
    """Return what the simulator wraps."""
    return getattr(array, "_ary", array)


def _here(argument: Any) -> Any:
    """Return an argument as the host's machine code takes it."""
    if isinstance(argument, tuple):
        return tuple(map(_here, argument))
    return np.ascontiguousarray(_host(argument)) if np.ndim(argument) else argument


iterate_row = _iterate_simulated if SIMULATED else cuda.jit(**DEVICE)(D.run.py_func)


def turn(source, target):
    """Write a block whose first axis are the problems with the problems last."""
    b = cuda.grid(1)
    if b < target.shape[1]:
        for i in range(target.shape[0]):
            target[i, b] = source[b, i]


def first(start, rate, rates, own_scale, x, g, slots, gain, last, scale, s, reasons, going, count):
    """Write the first state of all problems, whose start is in x[0], and list those that have one."""
    b = cuda.grid(1)
    if b >= reasons.size:
        return
    reason = GOING
    for i in range(x.shape[1]):
        p = x[0, i, b]
        if p - p != 0:
            reason = BAD_START
        for row in range(g.shape[0]):
            g[row, i, b] = 0
        for slot in range(slots.shape[0]):
            slots[slot, i, b] = start
        if last is not None:
            gain[i, b] = 1
            last[i, b] = 0
        if scale is not None:
            if own_scale:
                scale[i, b] = abs(p) if p != 0 else 1
    for k in range(s.shape[0]):
        s[k, b] = 0
    s[D.RATE, b] = rate
    if rates is not None:
        s[D.RATE, b] = rates[b]
    reasons[b] = reason
    if reason == GOING:
        going[cuda.atomic.add(count, 0, 1)] = b


def gather(x, g, s, x_best, g_best):
    """Write the best points and their gradients, the problems first."""
    b = cuda.grid(1)
    if b < x_best.shape[0]:
        here, row = int(s[D.X_BEST, b]), int(s[D.G_BEST, b])
        for i in range(x_best.shape[1]):
            x_best[b, i] = x[here, i, b]
            g_best[b, i] = g[row, i, b]


def problem_kernel(fun, jac, n, slot_count, real):
    """Return the kernel around the user's functions; n is None where there are many variables.

    `jac` is what `_driver.run` takes.
    """

    def near(
        method, data, args, going, coming, count, reasons, x, g, slots, gain, last, scale, lower,
        upper, s, o, steps, rates,
    ):  # fmt: skip
        k = cuda.grid(1)
        if k >= going.size:
            return
        b = going[k]
        own_x, own_g = cuda.local.array((X_ROWS, n), real), cuda.local.array((G_ROWS, n), real)
        own_slots = cuda.local.array((slot_count, n), real)
        own_s = cuda.local.array(SCALARS, numba.float64)
        adapted = cuda.local.array(ADAPTED, numba.float64)
        for row in range(SPARE):
            fetch(x[row], own_x[row], b)
        for row in range(G_ROWS):
            fetch(g[row], own_g[row], b)
        for slot in range(slot_count):
            fetch(slots[slot], own_slots[slot], b)
        vectors = taken((gain, last, scale, lower, upper), cuda.local.array((VECTORS, n), real), b)
        fetch(s, own_s, b)
        for i in range(ADAPTED):
            adapted[i] = o[i]
        reasons[b] = RAISED  # an exception ends a thread
        reason = iterate_row(
            method, fun, jac, columns_of(data, b) + args, own_x, own_g, own_slots, vectors[0],
            vectors[1], vectors[2], vectors[3], vectors[4], own_s, options_of(o, adapted), steps, rates, None,
        )  # fmt: skip
        b = going[k]  # once more: addresses kept over all iterations would take half the registers
        for row in range(SPARE):
            store(own_x[row], x[row], b)
        for row in range(G_ROWS):
            store(own_g[row], g[row], b)
        for slot in range(slot_count):
            store(own_slots[slot], slots[slot], b)
        if last is not None:
            store(vectors[0], gain, b)
            store(vectors[1], last, b)
        store(own_s, s, b)
        reasons[b] = reason
        if reason == GOING:
            coming[cuda.atomic.add(count, 0, 1)] = b

    def far(
        method, data, args, going, coming, count, reasons, x, g, slots, gain, last, scale, lower,
        upper, s, o, steps, rates,
    ):  # fmt: skip
        k = cuda.grid(1)
        if k >= going.size:
            return
        b = going[k]
        own_s = cuda.local.array(SCALARS, numba.float64)
        adapted = cuda.local.array(ADAPTED, numba.float64)
        fetch(s, own_s, b)
        for i in range(ADAPTED):
            adapted[i] = o[i]
        vectors = columns_of((gain, last, scale, lower, upper), b)
        reasons[b] = RAISED
        reason = iterate_row(
            method, fun, jac, columns_of(data, b) + args, x[..., b], g[..., b], slots[..., b],
            vectors[0], vectors[1], vectors[2], vectors[3], vectors[4], own_s,
            options_of(o, adapted), steps, rates, None,
        )  # fmt: skip
        b = going[k]
        store(own_s, s, b)
        reasons[b] = reason
        if reason == GOING:
            coming[cuda.atomic.add(count, 0, 1)] = b

    return far if n is None else near


class Signatures:
    """The types of the kernels of a batch."""

    def __init__(
        self, method: Method, dtype: np.dtype, data: tuple, args: tuple, automatic: bool, rated: bool,
        scaled: bool, bounded: bool, numbered: bool = False,
        scheduled: bool = False, plain: bool = False,
    ) -> None:  # fmt: skip
        self.slots, self.real = method.slots, numba.from_dtype(dtype)
        self.method = method.numba_type("serial", plain)
        block, self.matrix = array_type(dtype, 3), array_type(dtype, 2)
        whole, double = array_type(np.dtype(np.int32), 1), np.dtype(float)
        scalars, doubles = array_type(double, 2), array_type(double, 1)

        def known(given: bool) -> types.Type:
            return self.matrix if given else types.none

        last, gain = known(automatic), known(automatic or rated)
        scale, bound = known(scaled), known(bounded)
        self.first = (
            self.real, types.float64, doubles if numbered else types.none, types.boolean, block, block,
            block, gain, last, scale, scalars, whole, whole, whole,
        )  # fmt: skip
        self.gather = block, block, scalars, self.matrix, self.matrix
        self.problems = (
            self.method, types.Tuple(data), types.Tuple(args), *4 * (whole,), block,
            block, block, gain, last, scale, bound, bound, scalars, ALL_OPTIONS,
            types.int64, doubles if scheduled else types.none,
        )  # fmt: skip


# Kernels live as long as the process; of those around functions that are made anew, the last ones.
@lru_cache(maxsize=64)
def compiled_kernel(
    fun: Any,
    jac: Any,
    n: int | None,
    slots: int,
    real: types.Type,
    signature: tuple[types.Type, ...],
) -> Any:
    """Compile the kernel around the user's functions."""
    own = (fun, jac) if SIMULATED else (device_function(fun), device_function(jac))
    return cuda.jit(signature, **KERNEL)(problem_kernel(*own, n, slots, real))


def device_function(function: Any) -> Any:
    """Return a user's function for the device; what is none stays as it is."""
    if not is_jitted(function):
        return function
    fast = function.targetoptions.get("fastmath") is True
    return cuda.jit(**DEVICE, fastmath=fast)(function.py_func)
