"""Sums and multiples of arrays that are made of whole vectors: the compiler makes none of a sum by itself."""

from contextlib import contextmanager

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 4  # numbers of a vector; an array is made of whole ones, the last filled up with zeros
VECTOR = ir.VectorType(ir.DoubleType(), LANES)


def filled_up(count):
    """Return the length of an array of whole vectors that has room for so many numbers."""
    return -(-count // LANES) * LANES


@contextmanager
def _vectors(context, builder, *given):
    """Loop over the vectors of arrays of type and value `given`, all as long as the first; yield pointers."""
    arrays = [context.make_array(kind)(context, builder, value) for kind, value in given]
    (size,) = cgutils.unpack_tuple(builder, arrays[0].shape)
    first, step = (ir.Constant(size.type, number) for number in (0, LANES))
    with cgutils.for_range_slice(builder, first, size, step) as (i, _):
        places = [builder.gep(array.data, [i]) for array in arrays]
        yield [builder.bitcast(place, VECTOR.as_pointer()) for place in places]


def _loaded(builder, places):
    return [builder.load(place, align=8) for place in places]


def _chosen(builder, vector, places):
    """Return the vector of the elements of another one at these places."""
    chosen = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), [*places])
    return builder.shuffle_vector(vector, vector, chosen)


@intrinsic
def sum_of_products(typingctx, a, b):
    """Return the sum of a[i] b[i], by a sum for each lane, of arrays of whole vectors.

    The compiler changes no order of a sum, and makes no vectors of it.
    """

    def codegen(context, builder, signature, arguments):
        total = cgutils.alloca_once_value(builder, ir.Constant(VECTOR, [0.0] * LANES))
        with _vectors(context, builder, *zip(signature.args, arguments, strict=True)) as places:
            product = builder.fmul(*_loaded(builder, places))
            builder.store(builder.fadd(builder.load(total), product), total)
        sums, width = builder.load(total), LANES
        while width > 1:
            width //= 2
            sums = builder.fadd(
                _chosen(builder, sums, range(width)),
                _chosen(builder, sums, range(width, 2 * width)),
            )
        return builder.extract_element(sums, ir.Constant(ir.IntType(32), 0))

    return types.float64(a, b), codegen


@intrinsic
def add_multiple(typingctx, a, factor, b):
    """Add a multiple of b to a, arrays of whole vectors that do not overlap."""

    def codegen(context, builder, signature, arguments):
        one = builder.insert_element(
            ir.Constant(VECTOR, ir.Undefined), arguments[1], ir.Constant(ir.IntType(32), 0)
        )
        factors = _chosen(builder, one, [0] * LANES)
        given = [(signature.args[i], arguments[i]) for i in (0, 2)]
        with _vectors(context, builder, *given) as places:
            old, more = _loaded(builder, places)
            builder.store(builder.fadd(old, builder.fmul(factors, more)), places[0], align=8)
        return context.get_dummy_value()

    return types.none(a, factor, b), codegen
