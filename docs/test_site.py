"""The site in a browser: pages open without an error, load nothing from elsewhere, and lead somewhere.

``python -m pytest docs/test_site.py``, once the site has been built into ``docs/_build``.
"""

import functools
import http.server
import json
import os
import re
import shutil
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import pytest

SITE = Path(__file__).parent / "_build"
BROWSER, DRIVER = (
    shutil.which("chromium") or shutil.which("google-chrome"),
    shutil.which("chromedriver"),
)
PAGES = sorted(
    str(path.relative_to(SITE))
    for path in SITE.rglob("*.html")
    if path.relative_to(SITE).parts[0] not in ("_static", "asv", "_downloads")
)
ASV = ["asv/index.html", "asv/index.html#/summarylist", "asv/index.html#/regressions"]
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=1280,900",
)  # fmt: skip
# From the front page, by clicks: where each leads, and what must be found there.
WANTED = {
    "fit a curve with errors": "adamnb.curve_fit",
    "fit a million pixels": "minimize_batch",
    "give no gradient": "differentiated exactly",
    "pass bounds": "bounds=",
    "see progress": "progress=True",
    "resume a run": "optimizer.state",
    "cite it": "cff-version",
}


def missing(what):
    """Skip, or fail where continuous integration must not skip."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(what)


@pytest.fixture(scope="module")
def address():
    """Serve the site on this machine, and return where."""
    if not PAGES:
        missing("the site has not been built: sphinx-build docs docs/_build")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser(address, tmp_path_factory):
    """A browser without a window, with a profile of its own."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="Selenium is not installed")
    if BROWSER is None or DRIVER is None:
        missing("there is no Chromium with its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.implicitly_wait(5)
    yield driver
    driver.quit()


def faults(browser, address):
    """Return what the console of the page complained of, and what was asked of other hosts."""
    complaints = [
        entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"
    ]
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            if not url.startswith((address, "data:", "chrome", "about:", "blob:")):
                complaints.append(f"asked for {url}")
    return complaints


@pytest.mark.parametrize("page", PAGES or ["index.html"])
def test_a_page_opens_without_a_fault(page, browser, address):
    browser.get(address + page)
    assert not faults(browser, address)
    assert browser.title
    assert browser.execute_script("return document.body.innerText.trim().length") > 0
    broken = (
        "return [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
    )
    assert browser.execute_script(broken) == []


@pytest.mark.parametrize("page", ASV)
def test_the_history_of_the_benchmarks_opens(page, browser, address):
    if not (SITE / "asv").exists():
        missing("the history has not been published: python docs/asv/publish.py docs/_build/asv")
    browser.get(address + "search.html")  # so that another part after # is another page
    faults(browser, address)
    browser.get(address + page)
    names = "return document.getElementById('%s').innerText"
    shown = {"#/summarylist": "summarylist-display", "#/regressions": "regressions-display"}
    part = shown.get(page.partition("index.html")[2], "summarygrid-display")
    for _ in range(50):
        if browser.execute_script(names % part).strip():
            break
        browser.execute_async_script("setTimeout(arguments[0], 100)")
    assert browser.execute_script(names % part).strip()
    assert not faults(browser, address)


@pytest.mark.parametrize("link", WANTED)
def test_the_front_page_leads_there_in_a_click(link, browser, address):
    from selenium.webdriver.common.by import By

    browser.get(address)
    row = browser.find_element(By.XPATH, f"//td[normalize-space()='{link}']/..")
    row.find_element(By.TAG_NAME, "a").click()
    text = browser.find_element(By.TAG_NAME, "main").text
    assert WANTED[link] in text
    fragment = urldefrag(browser.current_url)[1]
    if fragment:
        assert browser.find_element(By.ID, fragment).is_displayed()
    assert not faults(browser, address)


class Links(HTMLParser):
    """The links of a page, and the names of its places."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places = set(), set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "a" and attributes.get("href"):
            self.links.add(attributes["href"])
        self.places |= {attributes[name] for name in ("id", "name") if attributes.get(name)}


def test_internal_links_lead_somewhere():
    if not PAGES:
        missing("the site has not been built: sphinx-build docs docs/_build")
    known = {page: Links(SITE / page) for page in PAGES}
    lost = set()
    for page, found in known.items():
        for link in found.links:
            if urlparse(link).scheme:
                continue
            target, place = urldefrag(urljoin(page, link))
            target, place = unquote(target) or page, unquote(place)
            if target not in known:
                if not (SITE / target).is_file():
                    lost.add((page, link))
            elif place and place not in known[target].places:
                lost.add((page, link))
    assert not lost


def test_the_words_of_the_table_are_those_of_the_front_page():
    text = (Path(__file__).parent / "index.md").read_text()
    assert all(re.search(rf"^\| {re.escape(link)} \| \[", text, re.MULTILINE) for link in WANTED)
