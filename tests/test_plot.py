"""Pictures: what is in the artists is what the results say. And results as notebooks show them."""

import html.parser
import math

import numba
import numpy as np
import pytest

import adamnb

matplotlib = pytest.importorskip("matplotlib", reason="Matplotlib is not installed")
matplotlib.use("agg")
from matplotlib import pyplot as plt  # noqa: E402
from scipy.stats import chi2  # noqa: E402

T = np.linspace(0.0, 4.0, 20)
SIGMA = 0.05


def line(t, a, b):
    return a + b * t


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def data():
    return line(T, 1.0, 2.0) + SIGMA * np.random.default_rng(1).standard_normal(T.size)


@pytest.fixture(scope="module")
def fitted(data):
    return adamnb.curve_fit(line, T, data, sigma=SIGMA, absolute_sigma=True)


def misfit(x, data):
    return (((line(T, *x) - data) / SIGMA) ** 2).sum()


@pytest.fixture(scope="module")
def minimised(data):
    return adamnb.minimize(misfit, [1.0, 1.0], (data,), errors="chi2", profile=[1], history=True)


@numba.njit
def bowl(x, g, y):
    g[0], g[1] = 2.0 * (x[0] - y[0]), 20.0 * (x[1] - y[1])
    if y[0] > 4.0:
        return np.nan
    return (x[0] - y[0]) ** 2 + 10.0 * (x[1] - y[1]) ** 2


@pytest.fixture(scope="module")
def batch():
    y = np.stack([np.arange(6.0), -np.arange(6.0)], axis=1)
    return adamnb.minimize_batch(bowl, [0.5, 0.5], data=(y,), jac="inplace")


def lines_of(ax):
    return {text.get_label(): np.array(text.get_data()) for text in ax.get_lines()}


# ------------------------------------------------------------------------------------------- runs


def test_history(minimised):
    ax = adamnb.plot.history(minimised)
    lines, kept = lines_of(ax), minimised.history
    assert ax.get_yscale() == "log"
    np.testing.assert_array_equal(lines["gradient norm"][1], kept["gradient_norm"])
    np.testing.assert_array_equal(lines["learning rate"][1], kept["learning_rate"])
    above = lines["f above the best"][1]
    best = np.argmin(kept["fun"])
    assert np.isnan(above[best])
    others = kept["fun"] > kept["fun"].min()
    np.testing.assert_array_equal(above[others], (kept["fun"] - kept["fun"].min())[others])


def test_trajectory():
    path = [[0.0, 0.0], [1.0, 3.0], [2.0, 2.0]]
    ax = adamnb.plot.trajectory(lambda x, c: (x[0] - c) ** 2 + x[1] ** 2, path, (2.0,))
    way = ax.get_lines()[0].get_data()
    np.testing.assert_array_equal(np.transpose(way), path)
    contours = ax.collections[0]
    # A contour is where f has its level, to the error of straight lines between points of the grid.
    for level, drawn in zip(contours.levels, contours.get_paths(), strict=True):
        for x in drawn.vertices:
            assert abs((x[0] - 2.0) ** 2 + x[1] ** 2 - level) < 1e-2
    assert ax.get_xlim()[0] < 0.0 < 2.0 < ax.get_xlim()[1]
    boxed = adamnb.plot.trajectory(lambda x: x @ x, path, box=((-5, 5), (-4, 4)))
    assert boxed.collections[0].get_datalim(boxed.transData).x0 >= -5.0


# ------------------------------------------------------------------------------------------- fits


PATH = [[1.0, 1.0], [2.0, 2.0], [3.0, 1.0]]


@pytest.mark.parametrize(
    ("fun", "drawn"),
    [
        (lambda x: 1.0, False),
        (lambda x: np.nan, False),
        (lambda x: -np.inf if x[0] > 2.5 else x @ x, True),
        (lambda x: math.log(x[0] - 0.9), True),  # raises on the left
        (lambda x: np.log(x[0] - 0.9), True),
    ],
)
def test_trajectory_where_f_is_flat_or_nowhere(fun, drawn):
    ax = adamnb.plot.trajectory(fun, PATH)
    assert bool(ax.collections) is drawn
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), PATH)


def test_fit(data, fitted):
    upper, lower = adamnb.plot.fit(line, T, data, fitted, SIGMA, band=2.0)
    curve = lines_of(upper)["fit"]
    np.testing.assert_allclose(curve[1], line(curve[0], *fitted.popt), rtol=1e-12)
    assert {0.0, 4.0} <= set(curve[0])
    band = upper.collections[-1].get_paths()[0].vertices
    # The variance of a + b t is that of a, plus 2 t times the covariance, plus t**2 that of b.
    (aa, ab), (_, bb) = fitted.pcov
    spread = 2.0 * np.sqrt(aa + 2.0 * T * ab + T**2 * bb)
    top = {t: y for t, y in band if y > line(t, *fitted.popt)}
    for t, error in zip(T, spread, strict=True):
        np.testing.assert_allclose(top[t] - line(t, *fitted.popt), error, rtol=1e-6)
    points = lower.get_lines()[0].get_data()
    np.testing.assert_allclose(points[1], data - line(T, *fitted.popt), rtol=1e-12)
    bar = upper.containers[0].lines[2][0].get_segments()[3]
    np.testing.assert_allclose(np.ptp(bar[:, 1]), 2 * SIGMA)


def test_fit_of_a_point_wise_model_of_a_model_of_all_and_on_one_axes(data, minimised):
    _, ax = plt.subplots()

    def pointwise(t, a, b):
        if t < 0.0:  # of an array that is no question
            return 0.0
        return a + b * t

    assert adamnb.plot.fit(numba.njit(pointwise), T, data, minimised, ax=ax) is ax
    assert len(ax.containers) == 1
    np.testing.assert_allclose(
        lines_of(ax)["fit"][1], line(lines_of(ax)["fit"][0], *minimised.x), rtol=1e-12
    )

    def summed(t, a, b):
        return a + b * np.cumsum(t)

    upper, _ = adamnb.plot.fit(summed, T[::-1], data, minimised, band=0)
    curve = lines_of(upper)["fit"]
    np.testing.assert_array_equal(curve[0], T)
    np.testing.assert_allclose(curve[1], summed(T[::-1], *minimised.x)[::-1])
    assert not [c for c in upper.collections if c.get_label().endswith("error")]


def test_correlation(minimised, fitted):
    for result, names in ((minimised, ["x[0]", "x[1]"]), (fitted, ["p[0]", "p[1]"])):
        ax = adamnb.plot.correlation(result)
        shown = ax.get_images()[0].get_array()
        covariance = result.pcov if result is fitted else result.covariance
        expected = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
        np.testing.assert_allclose(shown, [[1, expected], [expected, 1]])
        assert [label.get_text() for label in ax.get_xticklabels()] == names
        assert {text.get_text() for text in ax.texts} == {"1.00", f"{expected:.2f}"}


def test_profile_of_a_straight_line_is_its_parabola(minimised, data):
    ax = adamnb.plot.profile(misfit, minimised, 1, (data,))
    lines = lines_of(ax)
    x, rise = lines["profile"]
    np.testing.assert_allclose(rise, lines["parabola of the error"][1], atol=1e-3)
    np.testing.assert_allclose(x.min(), minimised.x[1] - 2.5 * minimised.stderr[1])
    ends = [text.get_xdata()[0] for text in ax.get_lines()[3:]]
    np.testing.assert_allclose(ends, minimised.intervals[1])
    # At the ends of the interval, of one sigma, a chi-square has risen by one.
    at_ends = rise[np.isin(x, ends)]
    np.testing.assert_allclose(at_ends, chi2.isf(2 * 0.158655, 1), rtol=1e-2)


def test_profile_of_a_parameter_with_a_name(data):
    named = adamnb.minimize(
        lambda p: misfit((p["offset"], p["slope"]), data),
        {"offset": 1.0, "slope": 1.0},
        errors="chi2",
    )
    ax = adamnb.plot.profile(
        lambda p, data: misfit((p["offset"], p["slope"]), data), named, "slope", (data,)
    )
    rise = lines_of(ax)["profile"][1]
    np.testing.assert_allclose(rise[[0, 10, -1]], [2.5**2, 0.0, 2.5**2], atol=1e-3)
    assert ax.get_xlabel() == "slope"


# ------------------------------------------------------------------------------------------- batches


def coupled(x):
    return (x[0] - 1) ** 2 + (x[1] - x[0]) ** 2


def test_profile_within_the_bounds_of_the_fit():
    held = [(None, None), (5, 5)]
    fit = adamnb.minimize(coupled, [1.0, 5.0], bounds=held, errors="likelihood")
    profile, parabola = adamnb.plot.profile(coupled, fit, 0, bounds=held, rise=0.5).lines[:2]
    np.testing.assert_allclose(profile.get_ydata(), parabola.get_ydata(), atol=1e-6)

    fit = adamnb.minimize(coupled, [2.0, 2.0], bounds=[(0.5, None)] * 2, errors="likelihood")
    profile = adamnb.plot.profile(coupled, fit, 0, bounds=[(0.5, None)] * 2, rise=0.5).lines[0]
    x, rise = profile.get_xydata().T
    assert 0.5 <= x.min() < 0.7
    np.testing.assert_allclose(rise, (x - 1) ** 2, atol=1e-6)


def test_maps(batch):
    axes = adamnb.plot.maps(batch, 2, 3)
    assert [ax.get_title() for ax in axes] == ["x0", "x1", "status"]
    shown = axes[0].get_images()[0].get_array()
    good = (batch.status == 0).reshape(2, 3)
    np.testing.assert_array_equal(shown[good], batch.x[:, 0].reshape(2, 3)[good])
    assert np.isnan(shown.filled(np.nan) if hasattr(shown, "filled") else shown)[1, 2]
    kinds = axes[2].get_images()[0].get_array()
    np.testing.assert_array_equal(kinds, [[0, 0, 0], [0, 0, 1]])
    _, two = plt.subplots(1, 2)
    given = adamnb.plot.maps(batch, 2, 3, names=["x1", "nit"], ax=two)
    np.testing.assert_array_equal(given, two)
    assert two[1].get_title() == "nit"


def test_maps_of_curves(data):
    curves = np.stack([data, 2 * data]).reshape(1, 2, -1)
    fits = adamnb.curve_fit(line, T, curves)
    axes = adamnb.plot.maps(fits)
    assert [ax.get_title() for ax in axes] == ["x0", "x1", "stderr_x0", "stderr_x1", "status"]
    np.testing.assert_array_equal(axes[3].get_images()[0].get_array(), fits.perr[..., 1])


def test_convergence(batch):
    ax = adamnb.plot.convergence(batch)
    steps, parts = ax.get_lines()[0].get_data()
    for nfev in np.unique(batch.nfev):
        expected = np.mean((batch.status == 0) & (batch.nfev <= nfev))
        assert parts[np.flatnonzero(steps <= nfev)[-1]] == pytest.approx(expected)
    assert ax.get_title() == "converged: 5, not finite: 1"


# ------------------------------------------------------------------------------------------- errors

WRONG = {
    "no history": (lambda r, b: adamnb.plot.history(b[0]), "`result` has no history"),
    "three variables": (
        lambda r, b: adamnb.plot.trajectory(sum, np.ones((2, 3))), r"`path` must .* \(2, 3\)"
    ),
    "no covariance": (lambda r, b: adamnb.plot.correlation(b[0]), "`result` has no covariance"),
    "many": (
        lambda r, b: adamnb.plot.correlation(adamnb.curve_fit(line, T, np.stack([T, T]))),
        "must be of one fit",
    ),
    "data": (lambda r, b: adamnb.plot.fit(line, T, T[1:], r), "`xdata` and `ydata` must be of one shape"),
    "band": (lambda r, b: adamnb.plot.fit(line, T, T, r, band=-1), "`band` must be"),
    "variable": (
        lambda r, b: adamnb.plot.profile(misfit, r, "slope", (T,)), "`variable` must be a number below 2"
    ),
    "empty": (lambda r, b: adamnb.plot.fit(line, [], [], r), "`xdata` must have at least one point"),
    "sigma": (lambda r, b: adamnb.plot.fit(line, T, T, r, np.ones(3)), r"`sigma` must be .* \(3,\)"),
    "box": (
        lambda r, b: adamnb.plot.trajectory(sum, PATH, box=((2, 1), (0, 1))), "`box` must be .* low < high"
    ),
    "path": (lambda r, b: adamnb.plot.trajectory(sum, [[1.0, np.nan]]), "`path` must be finite; got nan"),
    "bounds": (
        lambda r, b: adamnb.plot.profile(
            coupled, adamnb.minimize(coupled, [1, 5], bounds=[(0, 9), (5, 5)], errors="chi2")
        ),
        r"`bounds` must be those of the fit, which held x\[1\]",
    ),
    "sides": (lambda r, b: adamnb.plot.maps(b, -2, -3), "`shape` must be .* 6 points"),
    "no names": (lambda r, b: adamnb.plot.maps(b, 2, 3, names=[]), "`names` must have at least one"),
    "rise": (lambda r, b: adamnb.plot.profile(misfit, r, 0, (T,), rise=0), "`rise` must be"),
    "shape": (lambda r, b: adamnb.plot.maps(b, 7, 3), "`shape` must be .* 6 points"),
    "names": (lambda r, b: adamnb.plot.maps(b, 2, 3, names=["y"]), "`names` must be of x0, x1"),
    "one": (lambda r, b: adamnb.plot.convergence(r), "`result` must be of many problems"),
    "axes": (lambda r, b: adamnb.plot.maps(b, 2, 3, ax=plt.gca()), "`ax` must be a sequence of 3"),
}  # fmt: skip


@pytest.mark.parametrize(("draw", "text"), WRONG.values(), ids=WRONG)
def test_bad_input_is_one_clear_error(draw, text, minimised, batch):
    with pytest.raises(ValueError, match=text):
        draw(minimised, batch)


def test_without_matplotlib_the_error_names_the_extra(minimised, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"adamnb\[plot\]"):
        adamnb.plot.history(minimised)


# ------------------------------------------------------------------------------------------- notebooks


class Page(html.parser.HTMLParser):
    """The cells of a table, and whether each tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.text = [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_a_result_in_a_notebook(minimised):
    page = Page(minimised._repr_html_())
    assert page.rows[0] == ["", "value", "standard error"]
    assert [row[0] for row in page.rows[1:]] == ["x[0]", "x[1]"]
    assert abs(float(page.rows[2][1]) - minimised.x[1]) < 0.1 * minimised.stderr[1]
    assert float(page.rows[2][2]) == pytest.approx(minimised.stderr[1], rel=0.05)
    assert minimised.message in page.text


def test_names_are_escaped_and_rows_are_few():
    start = {"<script>alert(1)</script>": 1.0, "many": np.ones(30)}
    result = adamnb.minimize(lambda p: sum(np.sum(np.square(v)) for v in p.values()), start)
    text = result._repr_html_()
    assert "<script>" not in text
    page = Page(text)
    assert page.rows[1][0] == "<script>alert(1)</script>"
    assert page.rows[-1] == ["and 19 more"]
    assert len(page.rows) == 14


def test_batches_curves_and_starts_in_a_notebook(batch, fitted, data):
    page = Page(batch._repr_html_())
    assert page.text.startswith("6 problems of 2 variables: 5 converged")
    assert any(row[0] == "status  0" for row in page.rows)
    page = Page(fitted._repr_html_())
    assert abs(float(page.rows[1][1]) - fitted.popt[0]) < 0.1 * fitted.perr[0]
    page = Page(adamnb.curve_fit(line, T, np.stack([data, data]))._repr_html_())
    assert page.text.startswith("2 curves, 2 parameters: 2 converged")
    wells = adamnb.multistart(lambda x: (x[0] ** 2 - 1) ** 2, [(-2, 2)], 4, rng=1)
    assert len(Page(wells._repr_html_()).rows) == 1 + len(wells.minima_fun)
