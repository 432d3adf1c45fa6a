"""The page: whole, up to date, loads nothing, and shows strings of entries as text."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ctta.leaderboard.board import board
from ctta.leaderboard.shelf import Shelf
from ctta.leaderboard.site import build, page

ROOT = Path(__file__).parents[2]
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"


class Elements(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.found, self.texts = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def shipped():
    return page(board(Shelf(ROOT / "leaderboard/entries")), "../entries")


def test_the_shipped_page_is_up_to_date(shipped):
    assert (ROOT / "leaderboard/site/index.html").read_text(encoding="utf-8") == shipped


def test_it_loads_nothing_and_its_policy_forbids_that(shipped):
    elements = Elements(shipped).found
    assert not [attrs for _, attrs in elements if "src" in attrs or "style" in attrs]
    assert {tag for tag, attrs in elements if "href" in attrs} == {"a"}
    assert not [attrs for _, attrs in elements if any(name.startswith("on") for name in attrs)]
    (policy,) = [
        attrs["content"]
        for tag, attrs in elements
        if tag == "meta" and "content" in attrs and "http-equiv" in attrs
    ]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for tag in ("style", "script"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", shipped, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_tables_have_headers_and_pictures_have_texts(shipped):
    elements = Elements(shipped).found
    assert all(
        attrs.get("scope") in ("col", "row", "rowgroup") for t, attrs in elements if t == "th"
    )
    assert [attrs for tag, attrs in elements if tag == "svg" and attrs["aria-label"]]
    tags = [tag for tag, _ in elements]
    assert tags.count("caption") == tags.count("table") == 2
    assert "width=device-width" in shipped and 'lang="en"' in shipped
    assert len(shipped.encode()) < 200_000


def test_a_row_says_what_to_type(shipped):
    typed = "ctta run -m dataset=digits_c stream=continual model=digits_cnn_shipped method=eata"
    assert f"<pre>{typed} stream.seed=0,1,2</pre>" in shipped


def test_hostile_strings_stay_text(many):
    many.change("authors", [HOSTILE], path=many.path("tent"))
    many.change("hardware", HOSTILE, path=many.path("tent"))
    many.change("result.environment.device", HOSTILE, path=many.path("tent"))
    many.path("norm").write_text('{"<img src=x>": 1}')
    found = Elements(page(board(many.shelf), "x"))
    tags = [tag for tag, _ in found.found]
    assert tags.count("script") == 1 and "img" not in tags
    assert any(HOSTILE in text for text in found.texts)
    assert any("schema_version: expected 1, got None" in text for text in found.texts)


def test_the_old_page_stays_until_the_new_one_is_whole(many, tmp_path, monkeypatch):
    found = board(many.shelf)
    path = build(found, many.shelf, tmp_path / "site")
    before = path.read_text()
    assert 'href="../entries/digits_c/tent/' in before

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("ctta.places.on_disk", full)
    with pytest.raises(OSError, match="No space"):
        build(board(many.shelf), many.shelf, tmp_path / "site")
    assert path.read_text() == before


def test_a_broken_entry_does_not_hide_the_others(ctta, many, tmp_path):
    many.path("tent").write_text("{")
    words = ("leaderboard", "build", "--entries", str(many.root), "--site", str(tmp_path / "s"))
    status, out, err = ctta(*words)
    assert status == 1 and "is not JSON" in err
    text = Path(out.strip()).read_text()
    assert "<h2>Left out</h2>" in text and "eata" in text
