"""The recipes of docs/hosts.md run as they stand, and end where the host's own optimiser ends.

A recipe is skipped where its host is not installed.
"""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
from scipy import stats

import adamnb

PAGE = (Path(__file__).parents[1] / "docs" / "hosts.md").read_text()
RECIPES = {  # code by heading
    section.partition("\n")[0]: re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    for section in PAGE.split("\n## ")[1:]
}

close = np.testing.assert_allclose
ADAM = {"method": "adam", "extra_fit_funcs": {"adam": adamnb.statsmodels_fit}, "disp": False}


def imported(code):
    """Return the packages that a recipe imports."""
    nodes = list(ast.walk(ast.parse(code)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


def global_minimum(r):
    close(r["result"].x, 0, atol=1e-6)
    assert r["result"].fun < 1e-10


def evolution(r):
    own = scipy.optimize.differential_evolution(scipy.optimize.rosen, r["box"], maxiter=30, rng=1)
    assert r["result"].fun < 1e-12 < own.fun  # L-BFGS-B by differences ends at 1.6e-11
    close(r["result"].x, own.x, atol=1e-4)


def every_minimum(r):
    """Which minimum is next to a start is the method's affair, how many starts there are is not."""
    global_minimum(r)
    own = scipy.optimize.shgo(r["energy"], r["box"], n=64, sampling_method="sobol")
    assert len(r["result"].xl) == len(own.xl) > 1
    for x in r["result"].xl:
        close(2 * x + 20 * np.pi * np.sin(2 * np.pi * x), 0, atol=1e-4)


def distribution(r):
    assert r["result"].success
    own = stats.gamma.fit(r["data"], floc=0)
    close(r["result"].params, own, rtol=1e-6)
    close([r["shape"], r["location"], r["scale"]], own, rtol=1e-6)


def poisson(r):
    own = r["sm"].Poisson(r["counts"], r["design"]).fit(disp=False)
    close(r["fit"].params, own.params, atol=1e-6)
    close(r["fit"].bse, own.bse, rtol=1e-6)


def own_likelihood(r):
    assert r["fit"].mle_retvals["converged"]
    own = r["model"].fit(start_params=np.zeros(3), method="bfgs", disp=False)
    close(r["fit"].params, own.params, atol=1e-4)
    close(r["fit"].bse, own.bse, rtol=1e-3)


def time_series(r):
    own = r["SARIMAX"](r["series"], order=(2, 0, 0)).fit(disp=False)
    assert r["fit"].mle_retvals["converged"]
    close(r["fit"].params, own.params, atol=1e-3)
    close(r["fit"].bse, own.bse, rtol=1e-2)
    assert r["fit"].llf > own.llf - 1e-9


def process(r):
    own = r["GaussianProcessRegressor"](r["process"].kernel).fit(r["x"], r["y"])
    close(r["process"].kernel_.theta, own.kernel_.theta, atol=1e-4)
    assert r["process"].log_marginal_likelihood_value_ > own.log_marginal_likelihood_value_ - 1e-9


def estimator(r):
    from sklearn.linear_model import PoissonRegressor

    model = PoissonRegressor(fit_intercept=False, tol=1e-10, max_iter=1000)
    own = r["GridSearchCV"](model, r["grid"], scoring=r["search"].scoring).fit(r["X"], r["y"])
    assert r["search"].best_params_ == own.best_params_
    for scores in "mean_test_score", "std_test_score":
        close(r["search"].cv_results_[scores], own.cv_results_[scores], rtol=1e-5)
    close(r["search"].best_estimator_.coef_, own.best_estimator_.coef_, atol=1e-6)


def minuit(r):
    own = r["Minuit"](r["chi2"], a=1.0, k=1.0)
    own.limits["k"] = (0, None)
    own.migrad().hesse().minos()
    assert r["fit"].valid
    close(r["fit"].values, own.values, atol=1e-4)
    close(r["fit"].errors, own.errors, rtol=1e-3)
    for name in "a", "k":
        close(r["fit"].merrors[name].upper, own.merrors[name].upper, rtol=1e-2)


def names(r):
    own = r["lmfit"].minimize(r["residual"], r["parameters"])
    assert r["fit"].success
    assert r["fit"].method == adamnb.adam
    close(list(r["fit"].params.valuesdict().values()), list(own.params.valuesdict().values()), 1e-5)
    close(r["fit"].chisqr, own.chisqr, rtol=1e-9)


def dictionary(r):
    own = r["om"].minimize(r["objective"], r["start"], algorithm="scipy_lbfgsb")
    assert r["result"].success
    close(r["result"].params["a"], own.params["a"], atol=1e-4)
    close(r["result"].params["b"], own.params["b"], atol=1e-4)
    box = r["om"].Bounds(lower={"a": 2.0, "b": np.zeros(2)})
    above = r["om"].minimize(r["objective"], r["start"], algorithm=r["Adam"](gtol=1e-4), bounds=box)
    close(above.params["a"], 2, atol=1e-9)


def both_precisions(r):
    assert r["single"].success
    assert r["single"].x.dtype == np.float32
    close(r["single"].x, 1, atol=1e-4)
    assert r["double"].success
    assert r["double"].x.dtype == np.float64
    close(r["double"].x, 1, atol=1e-7)
    calls = r["double"].nfev
    assert calls == r["double"].njev < 60  # one of each, and no differences


def map_estimate(r):
    with r["model"]:
        own = r["pm"].find_MAP(progressbar=False)
    for name in "a", "b", "s":
        close(r["point"][name], own[name], atol=1e-5)


def chain(r):
    error = np.sqrt(np.diag(r["covariance"]))
    samples = r["sampler"].get_chain()
    halves = samples[:250].mean(axis=(0, 1)), samples[250:].mean(axis=(0, 1))
    for mean in halves:  # no burn-in
        close(mean, r["best"].x, atol=0.3 * error.min())
    close(samples.std(axis=(0, 1)), error, rtol=0.1)


def maps(r):
    def curve(y):
        return scipy.optimize.curve_fit(lambda t, a, k: a * np.exp(-k * t), r["t"], y, [1.0, 1.0])[
            0
        ]

    own = r["xr"].apply_ufunc(curve, r["decay"], vectorize=True, **r["core"])
    assert r["maps"].dims == ("row", "column", "parameter")
    close(r["maps"], own, atol=1e-5)
    close(r["maps"].sel(parameter=1), r["rate"], atol=1e-5)


def groups(r):
    assert list(r["fits"].columns) == ["amplitude", "rate"]
    close(r["fits"].loc["B"], [2.0, 0.7], atol=1e-5)
    close(r["fits"], [[3.0, 0.5], [2.0, 0.7], [1.0, 1.1]], atol=1e-5)


CHECKS = {
    "SciPy: basinhopping": global_minimum,
    "SciPy: dual_annealing": global_minimum,
    "SciPy: differential_evolution": evolution,
    "SciPy: shgo": every_minimum,
    "SciPy: stats.fit": distribution,
    "statsmodels": poisson,
    "statsmodels: a likelihood of your own": own_likelihood,
    "statsmodels: time series": time_series,
    "scikit-learn: Gaussian processes": process,
    "scikit-learn: an estimator": estimator,
    "iminuit": minuit,
    "lmfit": names,
    "optimagic": dictionary,
    "JAX": both_precisions,
    "PyTorch": both_precisions,
    "PyMC": map_estimate,
    "emcee": chain,
    "xarray": maps,
    "pandas": groups,
}


def test_every_recipe_is_checked():
    assert list(RECIPES) == list(CHECKS)
    assert PAGE.count("```python") == len(RECIPES)


@pytest.mark.parametrize("heading", RECIPES)
def test_recipe(heading):
    code = RECIPES[heading]
    for package in sorted(imported(code)):
        pytest.importorskip(package, reason=f"{package} is not installed")
    if heading == "SciPy: differential_evolution" and scipy.__version__ < "1.17":
        pytest.skip("SciPy's `polish` takes no callable before 1.17")
    run = {"__name__": "recipe"}
    exec(compile(code, f"docs/hosts.md, {heading}", "exec"), run)
    CHECKS[heading](run)


# ------------------------------------------------------------------- what hosts do with our callables


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


def test_a_score_by_differences_is_left_aside():
    """That of state-space models is no gradient, and where their filter fails f is infinite."""

    calls = []

    def wrong(b, flags):
        return -slope(b)

    def fun(b, flags):
        calls.append(b)
        if len(calls) == 20:
            raise np.linalg.LinAlgError
        return line(b)

    flags = ({"score_method": "approx"},)
    x, values = adamnb.statsmodels_fit(fun, wrong, np.array([9.0, -9.0]), flags, {})
    close(x, 1, atol=1e-6)
    assert values["converged"]
    flags = ({"score_method": "harvey"},)
    assert not adamnb.statsmodels_fit(fun, wrong, np.array([9.0, -9.0]), flags, {})[1]["converged"]


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
