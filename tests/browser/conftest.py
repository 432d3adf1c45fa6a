"""A headless Chromium, and a page built from some of the shipped entries and from bad ones.

Where there is no browser these tests are skipped; see the fixture `missing`.
CTTA_CHROMIUM names the executable.
"""

import json
import os
import shutil
from pathlib import Path

import pytest

from ctta.leaderboard.board import board
from ctta.leaderboard.shelf import Shelf
from ctta.leaderboard.site import build

SHIPPED = Path(__file__).parents[2] / "leaderboard" / "entries" / "digits_c"
METHODS = ("source", "norm", "frozen", "tent", "cotta", "eata", "rmt")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&<b>b"
LINK = "https://e.org/trace.npz"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def chromium(missing):
    executable = os.environ.get("CTTA_CHROMIUM") or shutil.which("chromium")
    if not executable:
        missing("browser", "no Chromium: install the package 'chromium', or set CTTA_CHROMIUM")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("browser", "no Playwright: pip install --editable '.[browser]'")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    """Three orders of some methods; one tuned in its own way, one without traces, one with
    linked ones, one broken."""
    root = tmp_path_factory.mktemp("lab") / "entries"
    shutil.copytree(SHIPPED / "_known", root / "digits_c" / "_known")
    for method in METHODS:
        (root / "digits_c" / method).mkdir()
        for path in SHIPPED.joinpath(method).glob("*.json"):
            entry = json.loads(path.read_text())
            if entry["rerun"]["stream"] != "continual" or entry["result"]["seeds"]["stream"] > 2:
                continue
            if method == "tent":
                entry["authors"] = [HOSTILE]
                entry["tuning"] = {"kind": "own", "statement": HOSTILE}
                entry["result"]["environment"]["device"] = HOSTILE
            copy = root / "digits_c" / method / path.name
            if method == "rmt":
                entry["trace"] = None
            elif method == "cotta":
                entry["trace"]["link"] = LINK
            else:
                shutil.copy(path.with_suffix(".npz"), copy.with_suffix(".npz"))
            copy.write_text(json.dumps(entry))
    (root / "digits_c" / "eata" / "broken.json").write_text('{"<img src=x>": 1}')
    return Shelf(root)


@pytest.fixture(scope="session")
def lab(shelf):
    """The board of these entries."""
    return board(shelf)


@pytest.fixture(scope="session")
def address(lab, shelf):
    """Of the page, as a file."""
    return build(lab, shelf, shelf.root.parent / "site").as_uri()


@pytest.fixture
def open_page(chromium, address):
    """Opens a view in a window; at the end there were no errors, dialogs or other requests."""
    contexts, told, asked = [], [], []

    def opened(view="", **options):
        options = {"viewport": {"width": 1280, "height": 900}, **options}
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("dialog", lambda dialog: (told.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url.partition("#")[0]))
        page.goto(address + view)
        return page

    opened.told, opened.asked = told, asked
    yield opened
    for context in contexts:
        context.close()
    assert not told
    assert set(asked) <= {address}
