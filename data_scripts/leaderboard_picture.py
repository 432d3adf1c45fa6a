"""The picture of the leaderboard's page in README, taken anew in a headless Chromium.

    make leaderboard && python data_scripts/leaderboard_picture.py

Writes docs/leaderboard.png. Needs the extra `browser`; CTTA_CHROMIUM names the executable.
"""

import os
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
PAGE, PICTURE = ROOT / "leaderboard" / "site" / "index.html", ROOT / "docs" / "leaderboard.png"


def main() -> None:
    with sync_playwright() as playwright:
        executable = os.environ.get("CTTA_CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1480, "height": 1000})
        page.goto(f"{PAGE.as_uri()}#/digits_c/continual")
        page.get_by_label("published numbers").uncheck()
        page.locator(".notes").first.evaluate(
            "(notes) => notes.remove()"
        )  # of which README has some
        last = page.locator(".pictures").bounding_box()
        assert last is not None
        clip = {"x": 0, "y": 0, "width": 1480, "height": last["y"] + last["height"] + 12}
        page.screenshot(path=PICTURE, full_page=True, clip=clip)
        browser.close()


if __name__ == "__main__":
    main()
