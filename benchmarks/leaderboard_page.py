"""The leaderboard's page with many rows, in a headless Chromium: size, and how soon it answers.

    python benchmarks/leaderboard_page.py [--rows 2000] [--json DIR]

Rows are those of the shipped continual setting, each with one setting more, over the same traces.
Milliseconds are the browser's, from the start of the navigation until the page has drawn itself and
answers (the median of five loads), and of single actions. Needs the extra `browser`; CTTA_CHROMIUM
names the executable.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from many_rows import ManyRows
from playwright.sync_api import Page, sync_playwright
from timing import write

from ctta.leaderboard.board import Board
from ctta.leaderboard.site import build

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
INTERACTIVE = """async () => {
  await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn, 0)));
  return performance.now(); }"""
ACTIONS = {
    "filter": """const box = document.querySelector("input[type=search]"); box.value = "tent";
        box.dispatchEvent(new Event("input"));""",
    "sort": """document.querySelectorAll("thead button")[6].click();""",
    "compare": """const [a, b] = data.panels[0].rows; location.hash = address(data.panels[0],
        "compare", a.id, b.id); show(true);""",
}


def timed(page: Page, action: str) -> float:
    """Milliseconds of an action with the layout that follows."""
    script = f"""() => {{ const start = performance.now(); {ACTIONS[action]}
        document.body.offsetHeight; return performance.now() - start; }}"""
    return float(page.evaluate(script))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    shelf = ManyRows()
    board = Board([shelf.section("digits_c", "continual", options.rows)])
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        start = time.perf_counter()
        path = build(board, shelf, Path(folder))
        rows.append({"what": "build, s", "value": time.perf_counter() - start})
        rows.append({"what": "size, kB", "value": path.stat().st_size / 1000})
        executable = os.environ.get("CTTA_CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        loads = []
        for _ in range(5):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(path.as_uri())
            loads.append(float(page.evaluate(INTERACTIVE)))
        rows.append({"what": "load until it answers, ms", "value": statistics.median(loads)})
        rows += [{"what": f"{name}, ms", "value": timed(page, name)} for name in ACTIONS]
        browser.close()
    print(f"{options.rows} rows")
    for row in rows:
        print(f"{row['what']:32}{row['value']:10.1f}")
    write("leaderboard_page", rows, options.json)


if __name__ == "__main__":
    main()
