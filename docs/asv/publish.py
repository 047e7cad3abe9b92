"""The history of the benchmarks as pages of the site: ``python docs/asv/publish.py docs/_build/asv``.

`asv publish` makes them of ``benchmarks/asv-results``. They load libraries from other hosts; here npm fetches
these once (`package.json` beside this file), and the pages load the copies.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS = HERE.parents[1] / "benchmarks"
MODULES = HERE / "node_modules"
# Files by the name that ends the address in asv's page.
COPIES = {
    "jquery-3.3.1.min.js": "jquery/dist/jquery.min.js",
    "jquery.flot.min.js": "jquery-flot/jquery.flot.js",
    "jquery.flot.time.min.js": "jquery-flot/jquery.flot.time.js",
    "jquery.flot.selection.min.js": "jquery-flot/jquery.flot.selection.js",
    "jquery.flot.categories.min.js": "jquery-flot/jquery.flot.categories.js",
    "jquery.flot.orderBars.js": "flot-orderbars/js/jquery.flot.orderBars.js",
    "stupidtable.min.js": "stupid-table-plugin/stupidtable.js",
    "md5.min.js": "blueimp-md5/js/md5.min.js",
    "bootstrap.min.js": "bootstrap/dist/js/bootstrap.min.js",
    "bootstrap.min.css": "bootstrap/dist/css/bootstrap.min.css",
}


def publish(target: Path) -> None:
    """Let asv write its pages, of the commits that lead to this one."""
    settings = json.loads((BENCHMARKS / "asv.conf.json").read_text())
    settings |= {"repo": str(BENCHMARKS.parent), "branches": ["HEAD"], "html_dir": str(target)}
    for name in ("benchmark_dir", "results_dir", "env_dir"):
        settings[name] = str(BENCHMARKS / settings[name])
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "asv.conf.json"
        config.write_text(json.dumps(settings))
        subprocess.run(["asv", "publish", "--no-pull", "--config", config], cwd=folder, check=True)


def keep_at_home(target: Path) -> None:
    """Copy the libraries beside the page, and let it load the copies."""
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=HERE, check=True)
    page, libraries = target / "index.html", target / "libraries"
    libraries.mkdir()
    shutil.copytree(MODULES / "bootstrap" / "dist" / "fonts", target / "fonts")

    def local(match: re.Match[str]) -> str:
        name = match[2].rpartition("/")[2]
        shutil.copy(MODULES / COPIES[name], libraries / name)
        return f'{match[1]}"libraries/{name}"'

    # A checksum of the file elsewhere says nothing of the copy.
    text = re.sub(r'\s(?:integrity|crossorigin)="[^"]*"', "", page.read_text())
    text = re.sub(r'(<(?:script|link)\b[^>]*(?:src|href)=)"(https?://[^"]+)"', local, text)
    text = re.sub(r"<link[^>]*regressions\.xml[^>]*>", "", text)
    page.write_text(text)


if __name__ == "__main__":
    target = Path(sys.argv[1]).resolve()
    shutil.rmtree(target, ignore_errors=True)
    publish(target)
    keep_at_home(target)
