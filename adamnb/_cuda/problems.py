"""The loop over problems for GPUs: a thread each, the compiled loop over iterations in it.

On the device the problems are the last axis of every array, so that neighbouring threads read
neighbouring numbers. Of few variables (`NEAR`) a thread copies its problem's state into arrays of its
own, whose size is known when the kernel is compiled: loops over variables are unrolled, most of the
state is in registers, and memory is passed over twice a launch, not many times an iteration. Of more
variables a thread works in the arrays themselves, which is right for any number of them, and slower.
"""

from collections import namedtuple
from functools import lru_cache
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic, is_jitted, overload

from .._compiled import elements
from .._compiled.cache import INLINED
from .._compiled.evaluation import Functions
from .._compiled.machine_code import array_type
from .._compiled.method import MethodType
from .._compiled.reasons import BAD_START, GOING, RAISED
from .._compiled.records import OPTIONS, REAL, STATE, WHOLE
from .._compiled.run import iterate_on
from .._compiled.vectors import G_ROWS, X_ROWS, Vectors, nothing_after
from .._problem.compiled import CompiledObjective
from .._run.spans import run_of, span_type
from .._run.state import vectors_type
from .driver import DEVICE, KERNEL, SIMULATED, cuda, on_host

if not SIMULATED:
    from . import ufuncs  # noqa: F401

# Up to how many variables a thread has its own vectors, by the size of a number: more would not stay in
# registers.
FEW = {4: 9, 8: 5}
NUMBERS = numba.from_dtype(STATE)
WORD = {name: place for place, name in enumerate(STATE.names or ())}  # places of the numbers
WORDS, X_BEST, G_BEST = len(WORD), WORD["x_best"], WORD["g_best"]
# Of those that a thread keeps; the others, of runs that there are none here, would take its registers.
WHOLE_END, REAL_BEGIN, REAL_END = len(WHOLE), WORD[REAL[0]], WORD[REAL[-1]] + 1
# Options are parameters of the kernel, which take no register and no load.
Settings = namedtuple("Settings", OPTIONS.names or ())  # type: ignore[misc]

size_of = cuda.jit(**DEVICE)(elements.size_of)


def columns_of(arrays, b):
    """Return the tuple of what each array has for problem b, its last axis; None stays None."""
    return tuple(
        None if array is None else array[b] if array.ndim == 1 else array[..., b]
        for array in arrays
    )


@overload(columns_of, jit_options=INLINED)
def _columns_of(arrays, b):
    if arrays.count == 0:
        return lambda arrays, b: ()
    if isinstance(arrays.types[0], types.NoneType):
        return lambda arrays, b: (None, *columns_of(arrays[1:], b))
    if arrays.types[0].ndim == 1:
        return lambda arrays, b: (arrays[0][b], *columns_of(arrays[1:], b))
    return lambda arrays, b: (arrays[0][..., b], *columns_of(arrays[1:], b))


@cuda.jit(**DEVICE)
def fetch(array, own, b):
    """Copy a vector of problem b."""
    for i in range(own.size):
        own[i] = array[i, b]


@cuda.jit(**DEVICE)
def store(own, array, b):
    """Copy a vector of problem b back."""
    for i in range(own.size):
        array[i, b] = own[i]


@cuda.jit(**DEVICE)
def fetch_numbers(words, own, b):
    """Copy the numbers of problem b that are of every run."""
    for i in range(WHOLE_END):
        own[i] = words[i, b]
    for i in range(REAL_BEGIN, REAL_END):
        own[i] = words[i, b]


@cuda.jit(**DEVICE)
def store_numbers(own, words, b):
    """Copy them back."""
    for i in range(WHOLE_END):
        words[i, b] = own[i]
    for i in range(REAL_BEGIN, REAL_END):
        words[i, b] = own[i]


def give_back(method, own, vectors, b):
    """Copy what else a thread has changed of problem b back; compiled by `_give_back`."""
    if vectors.previous is not None:
        store(own.factors, vectors.factors, b)
        store(own.previous, vectors.previous, b)


@overload(give_back, jit_options=INLINED)
def _give_back(method, own, vectors, b):
    def adapted(method, own, vectors, b):
        store(own.factors, vectors.factors, b)
        store(own.previous, vectors.previous, b)

    return adapted if method.automatic else lambda method, own, vectors, b: None


def taken(arrays, own, b):
    """Copy vectors of problem b into rows of `own`, and return the tuple of these; None stays None."""
    for array, row in zip(arrays, own, strict=True):
        if array is not None:
            fetch(array, row, b)
    return tuple(None if array is None else row for array, row in zip(arrays, own, strict=True))


@overload(taken, jit_options=INLINED)
def _taken(arrays, own, b):
    if arrays.count == 0:
        return lambda arrays, own, b: ()
    if isinstance(arrays.types[0], types.NoneType):
        return lambda arrays, own, b: (None, *taken(arrays[1:], own[1:], b))

    def first_taken(arrays, own, b):
        row = own[0]
        fetch(arrays[0], row, b)
        return (row, *taken(arrays[1:], own[1:], b))

    return first_taken


@intrinsic
def record_of(typingctx, words):
    """Return the record of STATE whose fields are these 8-byte words."""

    def codegen(context, builder, signature, arguments):
        array = context.make_array(words)(context, builder, arguments[0])
        return builder.bitcast(array.data, context.get_value_type(NUMBERS))

    return NUMBERS(words), codegen


def _iterate_simulated(method, functions, vectors, words, options, span):
    """Run the host's machine code: the simulator has the host's memory, but no overloads."""
    there = [None if a is None else np.asarray(on_host(a)) for a in vectors]
    here = Vectors(*(None if a is None else np.ascontiguousarray(a) for a in there))
    form = {True: "inplace", None: True}.get(functions.jac, functions.jac)
    own = CompiledObjective(functions.fun, form, tuple(map(_here, functions.args)), here.x.dtype)
    records, settings = np.zeros(1, STATE), np.array([tuple(options)], OPTIONS)
    records.view(np.int64)[:] = on_host(words)
    kind = span_type(span.rates is not None)
    run = run_of(own.type, method, vectors_type(here), kind)
    span = span._replace(rates=on_host(span.rates))
    reason = run(own.functions, here, records, settings, span)
    on_host(words)[:] = records.view(np.int64)
    for new, old in zip(here, there, strict=True):
        if old is not None:
            old[...] = new
    return reason


def _here(argument: Any) -> Any:
    """Return an argument as the host's machine code takes it."""
    if isinstance(argument, tuple):
        return tuple(map(_here, argument))
    return np.ascontiguousarray(on_host(argument)) if np.ndim(argument) else argument


def _iterate_there(method, functions, vectors, words, options, span):
    return iterate_on(method, functions, vectors, record_of(words), options, span)


iterate_problem = _iterate_simulated if SIMULATED else cuda.jit(**DEVICE)(_iterate_there)


def turn(source, target):
    """Write an array whose first axis are the problems with the problems last."""
    b = cuda.grid(1)
    if b < target.shape[1]:
        for i in range(target.shape[0]):
            target[i, b] = source[b, i]


def begin(x, scale, own_scale, reasons, going, count):
    """List the problems whose start, in x[0], is finite, and write the sizes of their variables."""
    b = cuda.grid(1)
    if b >= reasons.size:
        return
    reason, one = GOING, x.dtype.type(1)
    for i in range(x.shape[1]):
        p = x[0, i, b]
        if p - p != 0:
            reason = BAD_START
        if scale is not None:
            if own_scale:
                scale[i, b] = size_of(p, one)
    reasons[b] = reason
    if reason == GOING:
        going[cuda.atomic.add(count, 0, 1)] = b


def gather(x, g, words, x_best, g_best):
    """Write the best points and their gradients, the problems first."""
    b = cuda.grid(1)
    if b < x_best.shape[0]:
        x_, g_ = words[X_BEST, b], words[G_BEST, b]
        for i in range(x_best.shape[1]):
            x_best[b, i] = x[x_, i, b]
            g_best[b, i] = g[g_, i, b]


class Lists(NamedTuple):
    """Which problems a launch works on, and what becomes of them."""

    going: Any  # their numbers
    coming: Any  # gets those of the problems that go on
    count: Any  # gets how many these are, in its first element
    reasons: Any  # of all problems


def problem_kernel(fun, jac, n, slot_count, real):
    """Return the kernel around the user's functions; n is None where there are many variables.

    `jac` is what `Functions` has.
    """
    others = nothing_after(9)

    def of_few_variables(method, data, args, lists, vectors, words, options, span):
        k = cuda.grid(1)
        if k >= lists.going.size:
            return
        b = lists.going[k]
        x, g = cuda.local.array((X_ROWS, n), real), cuda.local.array((G_ROWS, n), real)
        slots, rest = cuda.local.array((slot_count, n), real), cuda.local.array((6, n), real)
        s = cuda.local.array(WORDS, numba.int64)
        for row in range(X_ROWS):
            fetch(vectors.x[row], x[row], b)
        for row in range(G_ROWS):
            fetch(vectors.g[row], g[row], b)
        for slot in range(slot_count):
            fetch(vectors.slots[slot], slots[slot], b)
        fetch_numbers(words, s, b)
        lists.reasons[b] = RAISED  # an exception ends a thread
        five = taken(vectors[4:9], rest[1:], b)
        own = Vectors(x, g, slots, rest[0], five[0], five[1], five[2], five[3], five[4], *others)
        functions = Functions(fun, jac, columns_of(data, b) + args)
        reason = iterate_problem(method, functions, own, s, options, span)
        b = lists.going[
            k
        ]  # once more: addresses kept over all iterations would take half the registers
        for row in range(X_ROWS):
            store(x[row], vectors.x[row], b)
        for row in range(G_ROWS):
            store(g[row], vectors.g[row], b)
        for slot in range(slot_count):
            store(slots[slot], vectors.slots[slot], b)
        give_back(method, own, vectors, b)
        store_numbers(s, words, b)
        note(lists, b, reason)

    def of_many_variables(method, data, args, lists, vectors, words, options, span):
        k = cuda.grid(1)
        if k >= lists.going.size:
            return
        b = lists.going[k]
        s = cuda.local.array(WORDS, numba.int64)
        fetch_numbers(words, s, b)
        lists.reasons[b] = RAISED
        own = Vectors(*columns_of(vectors, b))
        functions = Functions(fun, jac, columns_of(data, b) + args)
        reason = iterate_problem(method, functions, own, s, options, span)
        b = lists.going[k]
        store_numbers(s, words, b)
        note(lists, b, reason)

    return of_many_variables if n is None else of_few_variables


@cuda.jit(**DEVICE)
def note(lists, b, reason):
    """Note why problem b stopped, or that it goes on."""
    lists.reasons[b] = reason
    if reason == GOING:
        lists.coming[cuda.atomic.add(lists.count, 0, 1)] = b


class Signatures:
    """The types of the kernels of a batch.

    `vectors` are arrays of the kernel's shapes, `rates` whether the host gives a learning rate for every
    iteration.
    """

    def __init__(
        self, method: MethodType, vectors: Vectors, data: tuple, args: tuple, scheduled: bool
    ) -> None:
        kinds = [types.none if a is None else array_type(a.dtype, a.ndim) for a in vectors]
        x, g, *_ = kinds
        scale, matrix = kinds[Vectors._fields.index("scale")], array_type(vectors.x.dtype, 2)
        whole, words = array_type(np.dtype(np.int32), 1), array_type(np.dtype(np.int64), 2)
        self.begin = x, scale, types.boolean, whole, whole, whole
        self.gather = x, g, words, matrix, matrix
        self.problems = (
            method, types.Tuple(data), types.Tuple(args), types.NamedUniTuple(whole, 4, Lists),
            types.NamedTuple(kinds, Vectors), words,
            types.NamedTuple([numba.from_dtype(OPTIONS[name]) for name in OPTIONS.names or ()], Settings),
            span_type(scheduled),
        )  # fmt: skip


# Kernels live as long as the process; of those around functions that are made anew, the last ones.
@lru_cache(maxsize=64)
def compiled_kernel(
    functions: Functions, n: int | None, slots: int, real: types.Type, signature: tuple[types.Type, ...]
) -> Any:  # fmt: skip
    """Compile the kernel around the user's functions."""
    fun, jac = functions.fun, functions.jac
    own = (fun, jac) if SIMULATED else (device_function(fun), device_function(jac))
    return cuda.jit(signature, **KERNEL)(problem_kernel(*own, n, slots, real))


def device_function(function: Any) -> Any:
    """Return a user's function for the device; what is none stays as it is."""
    if not is_jitted(function):
        return function
    fast = function.targetoptions.get("fastmath") is True
    return cuda.jit(**DEVICE, fastmath=fast)(function.py_func)
