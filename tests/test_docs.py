"""The pages of the documentation: their code runs, and every message that there is has its entry."""

import re
from pathlib import Path

import pytest

import adamnb
from adamnb._compiled.reasons import REASONS
from adamnb._problem.methods import METHODS
from adamnb._run.fitted import SAID
from adamnb._run.verdicts import VERDICTS

DOCS = Path(__file__).parents[1] / "docs"
TUTORIAL = sorted((DOCS / "tutorial").glob("[0-9]*.md"))
TROUBLE = (DOCS / "troubleshooting.md").read_text()
ROWS = [
    [cell.strip() for cell in row.split(" | ")] for row in TROUBLE.splitlines() if row[:1] == "|"
]


@pytest.mark.parametrize("page", TUTORIAL, ids=lambda page: page.stem)
def test_code_of_the_tutorial(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    names: dict = {}
    for block in blocks:  # one after the other, as they are read
        exec(compile(block, page.name, "exec"), names)


def pieces(message):
    """Return what a message always says: the texts around the numbers in it."""
    return [part for part in re.split(r"\{.*?\}", message) if len(part) > 3]


def row_of(words):
    """Return the only row with these words as a cell of its own."""
    rows = [row for row in ROWS if words in (cell.removeprefix("| ") for cell in row)]
    assert len(rows) == 1, words
    return rows[0]


@pytest.mark.parametrize("reason", REASONS.values(), ids=lambda reason: reason.brief)
def test_every_reason_to_stop_has_its_entry(reason):
    row = row_of(reason.brief)
    for piece in pieces(reason.message):
        assert piece.strip() in " ".join(row), piece
    section = TROUBLE[: TROUBLE.index(reason.brief)].rpartition("\n## ")[2]
    assert str(reason.status) in section.partition("\n")[0]
    assert row[-1].removesuffix("|").strip()


@pytest.mark.parametrize("reason", SAID, ids=lambda reason: reason.brief)
def test_what_curve_fit_says_has_its_entry(reason):
    pattern = ".*".join(map(re.escape, re.split(r"\{.*?\}", SAID[reason][1].rstrip("."))))
    assert re.search(rf"^\| {REASONS[reason].status} \| {pattern}", TROUBLE, re.MULTILINE)


@pytest.mark.parametrize("verdict", VERDICTS, ids=lambda verdict: verdict.brief)
def test_every_verdict_on_errors_has_its_entry(verdict):
    row = row_of(verdict.brief)
    assert row[0] == f"| {int(verdict)}"
    for piece in pieces(verdict.message):
        assert piece.strip() in " ".join(row), piece


def test_every_public_name_is_in_the_reference():
    pages = (DOCS / "api" / "index.md").read_text()
    listed = set(re.findall(r"^   (\w+(?:\.\w+)?)$", pages, re.MULTILINE))
    methods = set(adamnb.__all__) & set(METHODS)  # SciPy's callables, each a method of `minimize`
    modules = {"plot", "schedules"}
    assert set(adamnb.__all__) - methods - modules <= listed
