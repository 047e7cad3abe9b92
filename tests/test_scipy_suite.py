"""SciPy's own tests of `minimize`, run with `method=adamnb.adam` wherever they apply.

The tests name SciPy's methods; a stand-in for the module `scipy.optimize` hands them ours instead.
"""

import pytest
import scipy.optimize

import adamnb

suite = pytest.importorskip("scipy.optimize.tests.test_optimize")

# Methods of SciPy that need or take a gradient, as the tests spell them.
REPLACED = {"bfgs", "cg", "l-bfgs-b", "tnc", "slsqp"}


class Stand:
    """`scipy.optimize` with `minimize` calling adam wherever a gradient method of SciPy is named."""

    def __getattr__(self, name):
        return getattr(scipy.optimize, name)

    @staticmethod
    def minimize(*args, **kwargs):
        method = kwargs.get("method")
        if isinstance(method, str) and method.lower() in REPLACED:
            kwargs["method"] = adamnb.adam
        kwargs.get("options", {}).pop("eps", None)  # the step of SciPy's differences, an error here
        return scipy.optimize.minimize(*args, **kwargs)


@pytest.fixture(autouse=True)
def ours(monkeypatch):
    monkeypatch.setattr(suite, "optimize", Stand())


def case(class_name, name, *arguments):
    return pytest.param(class_name, name, arguments, id="-".join((name, *map(str, arguments))))


CASES = [
    case("TestOptimizeSimple", "test_no_increase", "bfgs"),
    case("TestOptimizeSimple", "test_respect_maxiter", "BFGS"),
    case("TestOptimizeSimple", "test_nan_values", "bfgs"),
    case("TestOptimizeSimple", "test_duplicate_evaluations", "bfgs"),
    case("TestOptimizeSimple", "test_callback_stopiteration", "bfgs", 0),
    case("TestOptimizeSimple", "test_callback_stopiteration", "bfgs", 1),
    case("TestOptimizeSimple", "test_callback_stopiteration", "bfgs", 2),
    case("TestOptimizeSimple", "test_minimize_callback_copies_array", "bfgs"),
    case("TestOptimizeSimple", "test_minimize_l_bfgs_b"),
    case("TestOptimizeSimple", "test_minimize_l_bfgs_b_maxfun_interruption"),
    case("TestOptimizeSimple", "test_ndim_error"),
    case("TestOptimizeSimple", "test_minimize_invalid_bounds", "l-bfgs-b"),
    case("TestOptimizeSimple", "test_minimize_coerce_args_param"),
    case("TestOptimizeSimple", "test_minimize_warnings_gh1953", "bfgs"),
    case("TestLBFGSBBounds", "test_minimize_l_bfgs_b_bounds"),
    case("TestLBFGSBBounds", "test_minimize_l_bfgs_b_bounds_FD"),
    *(
        case("TestLBFGSBBounds", "test_minimize_l_bfgs_b_incorrect_bounds", bounds)
        for bounds in ([(10, 1), (1, 10)], [(1, 10), (10, 1)], [(10, 1), (10, 1)])
    ),
    case(None, "test_minimize_with_scalar", "l-bfgs-b"),
    case(None, "test_minimize_maxiter_noninteger", "bfgs"),
    case("TestOptimizeSimple", "test_minimize_tol_parameter"),
    case("TestOptimizeResultAttributes", "test_attributes_present"),
    case(None, "test_result_x_shape_when_len_x_is_one"),
    case(None, "test_x_overwritten_user_function"),
    case(None, "test_all_bounds_equal", "L-BFGS-B"),
    case(None, "test_all_bounds_equal", "TNC"),
]


@pytest.mark.filterwarnings(
    "ignore:Method .* does not use:RuntimeWarning"
)  # SciPy's tests give all
@pytest.mark.parametrize(("class_name", "name", "arguments"), CASES)
def test_of_scipy(class_name, name, arguments):
    if class_name is None:
        getattr(suite, name)(*arguments)
        return
    instance = getattr(suite, class_name)()
    instance.setup_method()
    getattr(instance, name)(*arguments)


@pytest.mark.parametrize("callback", suite.eb_data["callbacks"])
@pytest.mark.parametrize("bound_type", suite.eb_data["bound_types"])
@pytest.mark.parametrize("kwds", suite.eb_data["kwds"])
def test_equal_bounds_of_scipy(kwds, bound_type, callback):
    suite.test_equal_bounds("L-BFGS-B", dict(kwds), bound_type, (None, None), callback)
