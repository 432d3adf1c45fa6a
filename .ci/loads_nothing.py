"""Fail where a page of a built site would load anything from elsewhere."""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

OUTSIDE = re.compile(r"\s*([a-z][a-z+.-]*:)?//", re.IGNORECASE)
IN_STYLE = re.compile(r"(?:url\(|@import)\s*[\"']?([^\"')\s;]+)", re.IGNORECASE)
IN_SCRIPT = re.compile(r"(?:fetch|import|importScripts|open|Worker)\(\s*[\"'`]([^\"'`]+)")
FOLLOWED = ("a", "area")  # where a reader goes, if at all


class Loaded(HTMLParser):
    """Addresses that a browser asks for when it shows a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        given = {name: value or "" for name, value in attrs}
        for name in ("src", "href", "data", "poster", "action", "background"):
            if tag not in FOLLOWED and not (tag == "link" and given.get("rel") == "canonical"):
                self.found.append(given.get(name, ""))
        self.found += [part.strip().split(" ")[0] for part in given.get("srcset", "").split(",")]
        self.found += IN_STYLE.findall(given.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self.inside == "style":
            self.found += IN_STYLE.findall(data)
        if self.inside == "script":
            self.found += IN_SCRIPT.findall(data)


def outside(folder: Path) -> Iterator[str]:
    """A line for each address elsewhere that something in ``folder`` loads."""
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".html", ".css", ".js", ".svg"):
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".css":
            found = IN_STYLE.findall(text)
        else:
            found = IN_SCRIPT.findall(text) if path.suffix == ".js" else Loaded(text).found
        for address in found:
            if OUTSIDE.match(address):
                yield f"{path}: loads {address}"


if __name__ == "__main__":
    lines = list(outside(Path(sys.argv[1])))
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.exit(bool(lines))
