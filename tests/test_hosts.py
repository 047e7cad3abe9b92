"""What packages that take an optimiser do with ours."""

import numpy as np
import pytest
import scipy.optimize

import adamnb

close = np.testing.assert_allclose
ADAM = {"method": "adam", "extra_fit_funcs": {"adam": adamnb.statsmodels_fit}, "disp": False}


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


# ----------------------------------------------------------------------------------- statsmodels_fit


@pytest.mark.parametrize("name", ["Logit", "Probit", "Poisson", "NegativeBinomial", "MNLogit"])
def test_models_of_statsmodels(name):
    api = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed")
    rng = np.random.default_rng(3)
    columns = rng.normal(size=400), rng.normal(0, 3, 400), rng.uniform(20, 80, 400)
    design = np.column_stack([np.ones(400), *columns])
    mean = np.exp(design @ [0.5, 0.3, -0.1, 0.02])
    response = {
        "Poisson": rng.poisson(mean),
        "NegativeBinomial": rng.negative_binomial(1.4, 1.4 / (1.4 + mean)),
        "MNLogit": rng.integers(0, 3, 400),
    }.get(name, (rng.random(400) < mean / (5 + mean)).astype(float))
    model = getattr(api, name)(response, design)
    fit, own = model.fit(**ADAM), model.fit(disp=False, maxiter=1000)
    assert fit.mle_retvals["converged"]
    close(fit.params, own.params, atol=1e-5)
    close(fit.bse, own.bse, rtol=1e-5)


def line(b):
    return float((b - 1) @ (b - 1))


def slope(b):
    return 2 * (b - 1)


def test_maxiter_of_statsmodels_is_not_read():
    """Its default of 35 is Newton's; with a rate that is given many more are needed."""
    given = {"learning_rate": 0.05, "extra_fit_funcs": {}}
    x, values = adamnb.statsmodels_fit(
        line, slope, np.full(2, 9.0), (), given, disp=False, maxiter=35, callback=None,
        retall=False, full_output=True, hess=None,
    )  # fmt: skip
    close(x, 1, atol=1e-4)
    assert values["converged"]
    assert values["iterations"] > 100
    assert given == {"learning_rate": 0.05, "extra_fit_funcs": {}}


def test_what_statsmodels_hands_over(capsys):
    def run(disp=0, **kwargs):
        return adamnb.statsmodels_fit(line, slope, np.full(2, 9.0), (), kwargs, disp=disp)

    x, values = run(bounds=[(2, None), (None, None)])
    close(x, [2, 1], atol=1e-6)
    assert list(values) == [
        "fopt", "gopt", "iterations", "fcalls", "gcalls", "warnflag", "converged", "message",
    ]  # fmt: skip
    assert (values["fopt"], values["warnflag"]) == (line(x), 0)
    with pytest.raises(TypeError, match=r"learnig_rate.*Did you mean `learning_rate`"):
        run(learnig_rate=1.0)
    with pytest.raises(ValueError, match="'adamq'"):
        run(min_method="adamq")
    assert not run(maxfun=2)[1]["converged"]
    assert not capsys.readouterr().out
    run(disp=5)
    assert "Current function value" in capsys.readouterr().out
