"""What packages that take an optimiser do with ours."""

import numpy as np
import pytest
import scipy.optimize

import adamnb


def rosenbrock(**more):
    """Minimise through SciPy's protocol."""
    rosen, slope = scipy.optimize.rosen, scipy.optimize.rosen_der
    return scipy.optimize.minimize(rosen, [-1.2, 1.0], jac=slope, method=adamnb.adam, **more)


def test_a_hessian_is_left_aside_without_a_word():
    """SciPy's protocol hands over all that its caller has, asked for or not."""
    hess, hessp = scipy.optimize.rosen_hess, scipy.optimize.rosen_hess_prod
    np.testing.assert_array_equal(rosenbrock(hess=hess).x, rosenbrock(hessp=hessp).x)
    np.testing.assert_array_equal(rosenbrock(hess=hess).x, rosenbrock().x)


def test_nobody_takes_a_method_for_a_name_of_his_own():
    """lmfit runs Nelder-Mead for every name that it does not know."""
    lmfit = pytest.importorskip("lmfit", reason="lmfit is not installed")
    x = np.linspace(0, 1, 9)
    with pytest.raises(TypeError, match="callable, not a name"):
        lmfit.minimize(lambda p: p["a"] - x, lmfit.create_params(a=1.0), method=adamnb.adam)
    with pytest.raises(TypeError, match=r"Minimizer\.scalar_minimize"):
        lmfit.models.LinearModel().fit(2 * x, x=x, slope=1.0, intercept=1.0, method=adamnb.adam)


def test_shgo_looks_up_what_a_method_takes():
    def energy(x):
        return 10 * x.size + np.sum(x * x - 10 * np.cos(2 * np.pi * x))

    local = {"method": adamnb.adam}
    found = scipy.optimize.shgo(energy, [(-5.12, 5.12)] * 2, minimizer_kwargs=local)
    assert found.fun < 1e-10
