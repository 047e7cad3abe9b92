"""What the compiler makes of the kernel around a user's functions; no GPU is needed to look at it."""

import math
import re
from typing import NamedTuple

import numba
import numpy as np
import pytest
from devices import CAPABILITIES, INSTALLED, assembled, compiles
from numba import types
from objectives import TUPLES, both

from adamnb._compiled.evaluation import Functions
from adamnb._compiled.machine_code import array_type
from adamnb._compiled.rules import RULES
from adamnb._compiled.vectors import Vectors
from adamnb._forward import derivatives
from adamnb._forward.named import derivative
from adamnb._forward.seeds import LINE
from adamnb._problem.flattened import flattened
from adamnb._problem.methods import METHODS
from adamnb._problem.structure import start_of

DTYPES = (np.float32, np.float64)

if INSTALLED:
    from numba import cuda

    from adamnb._cuda import driver, gradients, problems


@numba.njit
def spot(x, g, y, grid):
    """Sum of squares of a Gaussian spot on pixels."""
    f = 0.0 * y[0]
    for i in range(g.size):
        g[i] = 0
    inverse = 1 / (x[3] * x[3])
    for i in range(y.size):
        u, v = grid[0, i] - x[1], grid[1, i] - x[2]
        r2 = u * u + v * v
        e = math.exp(-r2 * inverse)
        r = x[0] * e + x[4] - y[i]
        f += r * r
        m = (r + r) * e
        g[0] += m
        g[1] += m * x[0] * u * inverse
        g[2] += m * x[0] * v * inverse
        g[3] += m * x[0] * r2 * inverse / x[3]
        g[4] += r + r
    return f


@numba.njit
def bowl(x, g, centre):
    f = 0 * x[0]
    for i in range(x.size):
        r = x[i] - centre[i]
        g[i] = r + r
        f += r * r
    return f


@numba.njit
def decay(x, y, t):
    """Sum of squares of a decay on a background, without a gradient."""
    f = 0.0 * y[0]
    for i in range(t.size):
        r = x[0] * np.exp(-x[1] * t[i]) + x[2] - y[i]
        f += r * r
    return f


@numba.njit
def decay_by_hand(x, g, y, t):
    f = 0.0 * y[0]
    g[0] = g[1] = g[2] = f
    for i in range(t.size):
        e = np.exp(-x[1] * t[i])
        r = x[0] * e + x[2] - y[i]
        f += r * r
        g[0] += (r + r) * e
        g[1] -= (r + r) * x[0] * t[i] * e
        g[2] += r + r
    return f


# Axes of data and arguments; one array of data else.
SHAPES = {spot: ((2,), (2,)), decay: ((2,), (1,)), decay_by_hand: ((2,), (1,))}
SHAPES |= dict.fromkeys((both, *(f for f, _ in TUPLES.values())), ((2, 1), (1,)))


def shaped(*shape, dtype):
    """Return an array of as many axes, whose type is asked for."""
    return np.empty(shape, dtype)


def signatures_of(method, dtype, data, args, bounded=False, plain=False, rated=False):
    """Return the types of the kernels of scaled problems, whose learning rates adapt unless `rated`."""
    rows, vector = shaped(1, 1, 1, dtype=dtype), shaped(1, 1, dtype=dtype)
    previous = None if rated else vector
    low, high = (vector, vector) if bounded else (None, None)
    vectors = Vectors(rows, rows, rows, vector, vector, previous, vector, low, high)
    return problems.Signatures(
        METHODS[method].numba_type(not rated, plain), vectors, data, args, False
    )


def code(
    dtype,
    method="adam",
    capability=(9, 0),
    n=5,
    form=(bowl, True),
    bounded=False,
    many=False,
    plain=False,
):
    """Return the PTX of the kernel around a user's functions."""
    dtype = np.dtype(dtype)
    data, args = (
        tuple(array_type(dtype, ndim) for ndim in shapes)
        for shapes in SHAPES.get(form[0], ((2,), ()))
    )
    signatures = signatures_of(method, dtype, data, args, bounded, plain)
    if form[1] == "forward":
        form = gradients.device_gradient(form[0], n), True
    functions = map(problems.device_function, form)
    kernel = problems.problem_kernel(
        *functions, None if many else n, METHODS[method].slots, numba.from_dtype(dtype)
    )
    return cuda.compile_ptx(kernel, signatures.problems, cc=capability)[0]


def check_code(ptx, capability, path, frame):
    """Check what the assembler says; `frame` is the size of what is indexed by row."""
    assert f".target sm_{capability[0]}{capability[1]}" in ptx
    assert not re.search(r"^\s*call", ptx, re.MULTILINE)  # all is inlined
    said = assembled(ptx, capability, path)
    if said is not None:
        assert "0 bytes spill stores, 0 bytes spill loads" in said
        assert int(re.search(r"(\d+) bytes stack frame", said)[1]) <= frame
        assert int(re.search(r"Used (\d+) registers", said)[1]) <= 255


def frame(dtype, n):
    """Return the size of the rows of x and g, which are chosen while it runs, aligned to 16 bytes."""
    size = n * np.dtype(dtype).itemsize
    return sum(-(-rows * size // 16) * 16 for rows in (4, 2))


KERNELS = {method.rule: name for name, method in METHODS.items()}


@compiles
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_code_of_every_rule(no_device, rule, dtype, tmp_path):
    ptx = code(dtype, KERNELS[rule])
    check_code(ptx, (9, 0), tmp_path, frame(dtype, 5))


@compiles
@pytest.mark.parametrize("capability", CAPABILITIES, ids="{0[0]}.{0[1]}".format)
def test_code_with_bounds_on_every_generation(no_device, capability, tmp_path):
    ptx = code(np.float64, "amsgrad", capability, bounded=True)
    check_code(ptx, capability, tmp_path, frame(np.float64, 5))


@compiles
@pytest.mark.parametrize("dtype", DTYPES)
def test_code_of_fits_of_spots(no_device, dtype, tmp_path):
    ptx = code(dtype, form=(spot, True))
    check_code(ptx, (9, 0), tmp_path, frame(dtype, 5))


@compiles
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("capability", CAPABILITIES, ids="{0[0]}.{0[1]}".format)
def test_code_of_exact_gradients(no_device, capability, dtype, tmp_path):
    """All derivatives are in registers, as many as by hand: 178 and 176 for float64 on an H100."""
    used = []
    for form in ((decay, "forward"), (decay_by_hand, True)):
        ptx = code(dtype, capability=capability, n=3, form=form)
        check_code(ptx, capability, tmp_path, frame(dtype, 3))
        said = assembled(ptx, capability, tmp_path) or "Used 0 registers"
        used.append(int(re.search(r"Used (\d+) registers", said)[1]))
    assert used[0] <= used[1] + 8


class Decay(NamedTuple):
    height: float
    rest: np.ndarray  # shape (2, 1)


@numba.njit
def decay_of_names(p, y, t):
    """`decay` of parameters with names and shapes."""
    f = 0.0 * y[0]
    for i in range(t.size):
        r = p.height * np.exp(-p.rest[0, 0] * t[i]) + p.rest[1, 0] - y[i]
        f += r * r
    return f


@compiles
@pytest.mark.parametrize("many", [False, True])
def test_code_of_parameters_with_names(no_device, many, tmp_path, monkeypatch):
    structure, _ = start_of(Decay(1.0, np.ones((2, 1))))
    flat, _ = flattened(decay_of_names, "forward", structure)
    monkeypatch.setitem(SHAPES, flat, SHAPES[decay])
    ptx = code(np.float64, n=3, form=(flat, "forward"), many=many)
    aligned = -(-frame(np.float64, 3) // LINE) * LINE  # as the room is, were it not in registers
    check_code(ptx, (9, 0), tmp_path, aligned)


@compiles
@pytest.mark.parametrize("n", [8, 9, 40])
def test_code_of_exact_gradients_in_passes(no_device, n, tmp_path):
    """Of many variables each thread has dual numbers of its own, in its memory."""
    dual = 8 * (1 + min(n, 8))

    @numba.njit
    def valley(x, centre):
        f = 0.0
        for i in range(x.size - 1):
            f += 100 * (x[i + 1] - x[i] ** 2) ** 2 + abs(1 - x[i])
        return f + centre[0]

    ptx = code(np.float64, n=n, form=(valley, "forward"), many=n > 8)
    check_code(ptx, (9, 0), tmp_path, frame(np.float64, n) + n * dual)


@numba.njit
def scaled(a, b=2.0):
    return a * b + max(a, b)


@numba.njit
def of_many_kinds(x, centre):
    """What code without arrays does with numbers."""
    a, b = x[0], x[1]
    if a > 1e9:
        return np.inf
    while a < 3:
        a = a * a + b
    f = scaled(a) + scaled(b, a) + np.sum(x) + x[:1].sum() + x @ x + np.max(x)
    f += np.exp(a) + math.log(b) + np.sqrt(a) + np.cbrt(b) + np.sin(a) + np.tanh(b) + math.lgamma(a)
    f += math.erf(a) + np.logaddexp(a, b) + np.hypot(a, b) + np.arctan2(a, b) + np.sign(a) * abs(b)
    f += a**2 + a**b + 2.0**b + b**2.5 + a / b + a // b + a % 0.3 + np.where(a > b, a, b)
    return f * np.clip(a, 0.0, 1.0) + centre[0] * np.log1p(b) - np.expm1(-a)


@compiles
def test_code_of_functions_of_dual_numbers(no_device):
    code(np.float64, n=2, form=(of_many_kinds, "forward"))


@compiles
def test_forms_of_exact_gradients(no_device):
    """Both derivatives write the gradient into g on a device; other functions stay what they are."""
    for make, jac in (
        (derivatives.value_and_grad, None),
        (derivatives.value_and_grad_inplace, True),
    ):
        found = gradients.differentiated(Functions(derivative(make, decay), jac, ()), 3)
        assert found == Functions(gradients.device_gradient(decay, 3), True, ())
    given = Functions(decay_by_hand, True, ())
    assert gradients.differentiated(given, 3) is given


@compiles
@pytest.mark.parametrize("dtype", DTYPES)
def test_code_for_as_many_variables_as_are_few(no_device, dtype, tmp_path):
    size = np.dtype(dtype).itemsize
    n = problems.FEW[size]
    own = (4 + 2 + 3 + 5) * n * size  # some loops are not unrolled: their arrays stay what they are
    ptx = code(dtype, "amsgrad", n=n, bounded=True, plain=True)
    check_code(ptx, (9, 0), tmp_path, own)


@compiles
@pytest.mark.parametrize("form", TUPLES)
def test_code_of_every_form_of_the_gradient(no_device, form, tmp_path):
    f, g = TUPLES[form]
    ptx = code(np.float64, n=2, form=(f, {True: None, "inplace": True}.get(g, g)))
    check_code(ptx, (9, 0), tmp_path, frame(np.float64, 2))


@compiles
@pytest.mark.parametrize("dtype", DTYPES)
def test_code_for_many_variables(no_device, dtype, tmp_path):
    ptx = code(dtype, many=True)
    check_code(ptx, (9, 0), tmp_path, 0)


def slow_operations(ptx):
    """Return how many roots and quotients there are in float64."""
    return len(re.findall(r"(?:sqrt|div)\.rn\.f64", ptx))


@compiles
def test_elements_of_float32_are_stepped_in_float32(no_device):
    few, many = code(np.float32, n=2), code(np.float32, n=8)
    assert len(re.findall(r"sqrt\.rn\.f32", many)) == 8
    moves = 8 - 2  # relative steps for `xtol`, which is off unless given; all else is per step
    assert slow_operations(many) == slow_operations(few) + moves
    assert slow_operations(code(np.float64, n=4)) >= slow_operations(few) + 2 * 4


@compiles
@pytest.mark.parametrize("rated", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_code_of_the_other_kernels(no_device, dtype, rated, tmp_path):
    dtype = np.dtype(dtype)
    signatures = signatures_of("amsgrad", dtype, (), (), rated=rated)
    rows = array_type(dtype, 2)
    for kernel, signature in (
        (problems.begin, signatures.begin),
        (problems.gather, signatures.gather),
        (problems.turn, (rows, rows)),
    ):
        check_code(cuda.compile_ptx(kernel, signature, cc=(9, 0))[0], (9, 0), tmp_path, 0)


@compiles
def test_arguments_of_a_launch_are_the_parameters_of_the_code(no_device):
    from numba.cuda.dispatcher import _Kernel

    dtype = np.dtype(np.float32)
    signature = signatures_of("adam", dtype, (array_type(dtype, 2),), ()).problems
    launched = _Kernel.__new__(_Kernel)
    launched.extensions = driver.KERNEL["extensions"]

    def count(kind):
        if isinstance(kind, types.Array):
            return 5 + 2 * kind.ndim  # pointers, sizes and strides
        if isinstance(kind, types.BaseTuple):
            return sum(map(count, kind))
        launched._prepare_args(kind, 1, 0, [], found := [])
        return len(found)

    arguments = sum(map(count, signature))
    assert arguments == len(re.findall(r"^\s*\.param", code(np.float32), re.MULTILINE))


@compiles
@pytest.mark.parametrize(
    "name", ["absolute", "exp", "expm1", "isfinite", "log1p", "sqrt", "square"]
)
def test_numpy_functions_of_numbers(no_device, name):
    function = getattr(np, name)

    def kernel(x):
        x[1] = function(x[0])

    ptx = cuda.compile_ptx(kernel, (numba.float32[::1],), cc=(9, 0))[0]
    assert ".f64" not in ptx


@compiles
def test_what_makes_arrays_says_so(no_device):
    with pytest.raises(numba.core.errors.NumbaError, match="returning of array"):
        code(np.float64, n=2, form=(both, None))
