"""The README: its Python runs, and its commands are those that continuous integration types."""

import re
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


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
