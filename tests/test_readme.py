"""The README: its Python runs, and its commands are those that continuous integration types."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


PRINTED = (
    "[3.  0.7] Converged",
    "10,000 problems of 2 variables: 10,000 converged",
    "<class 'cupy.ndarray'> Converged",
)


@pytest.mark.parametrize(("code", "printed"), list(zip(blocks("python"), PRINTED, strict=True)))
def test_python_of_the_readme(code, printed, capsys):
    if "import cupy" in code:
        cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
        if not cupy.cuda.is_available():
            pytest.skip("no GPU")
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith(printed)


def test_two_commands_set_up_a_machine():
    check, tests = blocks("bash")
    assert "python -m adamnb" in check
    assert "python -m pytest -q" in tests


def test_commands_for_windows_do_the_same():
    for unix, windows in zip(blocks("bash"), blocks("bat"), strict=True):
        expected = (
            unix.partition("NUMBA_")[0].replace("/bin/", "/").replace("python3.11", "py -3.11")
        )
        given = windows.replace("\\Scripts\\", "/")
        assert re.split(r"\s*&&\s*|\n", given.strip()) == re.split(
            r"\s*&&\s*|\n", expected.strip("& \n")
        )


def test_the_picture_is_made_by_code_of_the_tree(tmp_path):
    matplotlib = pytest.importorskip("matplotlib", reason="Matplotlib is not installed")
    image = pytest.importorskip("matplotlib.image", reason="Matplotlib is not installed")
    names = runpy.run_path(str(ROOT / "docs" / "picture.py"))
    assert f"]({names['PICTURE'].relative_to(ROOT).as_posix()})" in README
    with matplotlib.rc_context(matplotlib.rcParamsDefault):
        names["main"](tmp_path / "again.png")
    kept, again = image.imread(names["PICTURE"]), image.imread(tmp_path / "again.png")
    assert kept.shape == again.shape
    assert abs(kept - again).mean() < 0.02  # fonts and anti-aliasing may differ


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
