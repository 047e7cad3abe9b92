"""The user's functions by addresses: of one type, whatever their arguments are.

A loop over iterations takes seconds to compile, and needs the user's functions in one place. So it is
compiled once for all of them, and there calls machine code that is compiled for theirs, which is small and
finds them, and their arguments, at an address where they are as long as the loop runs.
"""

from typing import Any, NamedTuple

import numba
from numba import types
from numba.extending import intrinsic, overload

from .addresses import Address, Callback, address_of, call_back, lent_at
from .cache import INLINED, SELDOM, alone, copied
from .evaluation import evaluate, functions_of
from .functions import FunctionType
from .inlined import PartCompiler
from .machine_code import array_type
from .records import STATE
from .views import or_empty


class Evaluation(NamedTuple):
    """What is held, at the current point of a problem or batch."""

    code: Any  # of `evaluate_at`, for the types of functions and data
    place: Any  # where these are
    problem: int  # its number
    point: Any  # where the `Point` is


class Point(NamedTuple):
    """What an evaluation reads and writes: the `Vectors` of these names, and the numbers of the run."""

    x: Any
    g: Any
    spare: Any
    scale: Any  # empty if there is none
    s: Any


CODE, PLACE = FunctionType(types.boolean(Address(), types.intp, Address())), Address()
CALLBACK = Callback()


@copied
def evaluation_of(code, place, problem, v, s):
    """Return what evaluates at the current point of a problem, good until the calling function returns."""
    point = Point(v.x, v.g, v.spare, or_empty(v.scale, v.spare), s)
    return Evaluation(code, place, problem, address_of(point))


def evaluate_here(functions, v, s):
    """Do what `evaluate` does, with the vectors of a run.

    `functions` may be `Functions`, or the `Evaluation` of these vectors. Compiled by `_evaluate_here`.
    """


@overload(evaluate_here, jit_options=INLINED | {"_nrt": True})
def _evaluate_here(functions, v, s):
    def known(functions, v, s):
        g = v.g[0] if s.g == 0 else v.g[1]
        return evaluate(functions, v.x, v.spare, g, s, v.scale)

    def held(functions, v, s):
        return functions.code(functions.place, functions.problem, functions.point)

    return held if functions.instance_class is Evaluation else known


@numba.njit(pipeline_class=PartCompiler, **SELDOM | {"_nrt": True})
def evaluate_at(place, problem, point):
    """Evaluate the functions at an address, with the data of a problem, at the `Point` at another."""
    (functions, data), v = lent_at(place), lent_at(point)
    return evaluate_here(functions_of(functions, data, problem), v, v.s)


@intrinsic
def code_for(typingctx, functions, data):
    """Return the address of the machine code of `evaluate_at` for functions and data of these types."""
    vector = functions[0].signature.args[0]
    rows = vector.copy(ndim=2)
    point = types.NamedTuple((rows, rows, vector, vector, array_type(STATE, 1).dtype), Point)
    kinds = Address(types.Tuple((functions, data))), types.intp, Address(point)
    evaluate_at.compile(kinds)
    compiled = evaluate_at.overloads[kinds]

    def codegen(context, builder, signature, arguments):
        context.add_linking_libs([compiled.library])
        code = context.declare_function(builder.module, compiled.fndesc)
        return builder.bitcast(code, context.get_value_type(Address()))

    return Address()(functions, data), codegen


@alone(_nrt=True)  # arguments may be lists, or what else shares in memory
def hold(functions, data, then):
    """Return ``then(code, place)`` of a Python function, two addresses that are good as long as it runs."""
    return call_back(then, code_for(functions, data), address_of((functions, data)))
