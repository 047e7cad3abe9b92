"""What is packed: a wheel with the package alone, a source archive with all that it takes to go on."""

import email
import importlib.util
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import adamnb

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPE = (ROOT / "conda" / "meta.yaml").read_text()
WORKFLOW = (ROOT / ".github" / "workflows" / "tests.yml").read_text()
OUTPUTS = {
    "__pycache__",
    "_build",
    "auto_examples",
    "generated",
    "node_modules",
    "asv-results",
    ".venv",
}


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Build both as an index gets them; return the names in each, and what the wheel says of itself."""
    for name in ("hatchling", "hatch_fancy_pypi_readme"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    folder = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (wheel,), (archive,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        sources = {name.partition("/")[2] for name in source.getnames()}
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        said = email.message_from_bytes(packed.read(metadata))
    return names, sources, said


def test_the_wheel_holds_the_package_alone(packed):
    names = {name for name in packed[0] if ".dist-info/" not in name}
    tree = {
        str(path.relative_to(ROOT).as_posix())
        for path in (ROOT / "adamnb").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == tree
    assert "adamnb/py.typed" in names
    assert any(name.startswith("adamnb/data/nist/") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in packed[0])


def test_the_source_archive_holds_all_that_is_needed(packed):
    _, sources, _ = packed
    needed = (
        "README.md", "LICENSE", "CITATION.cff", "CONTRIBUTING.md", "pyproject.toml", ".ci/run",
        ".github/workflows/tests.yml",
        "tests/conftest.py", "docs/hosts.md", "docs/conf.py", "examples/plot_t2_map.py",
        "benchmarks/RESULTS.md", "benchmarks/asv.conf.json", "conda/meta.yaml",
    )  # fmt: skip
    assert not [name for name in needed if name not in sources]
    assert not [name for name in sources if OUTPUTS & set(name.split("/"))]


def test_an_index_shows_no_link_that_leads_nowhere(packed):
    text = packed[2].get_payload()
    assert not re.findall(r"\]\((?!https?:)[^)]*\)", text)
    assert "`benchmarks/RESULTS.md`" in text
    assert "![" not in text
    assert packed[2]["Description-Content-Type"].startswith("text/markdown")


def test_what_the_wheel_says_of_itself(packed):
    said = packed[2]
    assert (said["Name"], said["Version"]) == ("adamnb", adamnb.__version__)
    assert said["Requires-Python"] == ">=3.11"
    assert set(said.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])


def test_pythons_are_the_same_everywhere():
    classified = [
        name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)
    ]
    assert re.findall(r'"(3\.\d+)"', WORKFLOW) == classified
    assert PROJECT["requires-python"] == f">={classified[0]}"


def test_the_recipe_is_that_of_the_project():
    assert re.search(r'version = "(.*)"', RECIPE)[1] == adamnb.__version__
    run = re.search(r"  run:\n((?:    - .*\n)+)", RECIPE)[1]
    needed = {
        "python " + PROJECT["requires-python"],
        *(re.sub(">=", " >=", d) for d in PROJECT["dependencies"]),
    }
    assert set(re.findall(r"- (.*)", run)) == needed
    assert PROJECT["description"] in RECIPE
    assert f"version: {adamnb.__version__}" in (ROOT / "CITATION.cff").read_text()
