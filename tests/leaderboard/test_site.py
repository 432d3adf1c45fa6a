"""The page: whole, loads nothing, small, and keeps strings of entries as text."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest

from ctta.leaderboard.board import Board, board
from ctta.leaderboard.published import published_rows
from ctta.leaderboard.sheets import sheets
from ctta.leaderboard.shelf import Shelf
from ctta.leaderboard.site import build, page
from ctta.results.compare import flat

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
def shelf():
    return Shelf(ROOT / "leaderboard/entries")


@pytest.fixture(scope="module")
def shipped_board(shelf):
    return board(shelf)


@pytest.fixture(scope="module")
def shipped(shelf, shipped_board):
    return page(shipped_board, shelf, "../entries")


def content(text):
    """The page's data."""
    (found,) = re.findall('<script type="application/json" id="data">(.*?)</script>', text)
    return json.loads(found)


def continual(text):
    """The panel of digits_c, continual."""
    return next(p for p in content(text)["panels"] if p["id"] == "digits_c/continual")


def rows(panel):
    return {row["name"]: row for row in panel["rows"] if "id" in row}


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


def test_every_table_cell_of_the_sheets_is_in_it(shipped, shipped_board):
    section = next(s for s in shipped_board.sections if s.setting == "continual")
    panel = continual(shipped)
    assert panel["model"] == section.model == "digits_cnn_shipped"
    shown = [[panel["rows"][number]["cells"] for number in part["rows"]] for part in panel["parts"]]
    errors, beside = sheets(section)
    for part, own, other in zip_longest(shown, errors.parts, beside.parts):
        for cells, row, more in zip_longest(part, own.rows, other.rows if other else []):
            texts = sorted(cell.text for cell in [*row[1:], *(more or ())[1:]] if cell.text)
            mean = row[-3].text
            assert sorted(filter(None, [*cells[0], *cells[1]])) == sorted([*texts, mean])
    heads = [table["head"] for table in panel["tables"]]
    assert [len(cells) for cells in panel["rows"][0]["cells"]] == [len(head) for head in heads]
    assert heads[0][:4] == ["rank", "mean", "published", "difference"]


def test_controls_and_published_numbers_are_marked(shipped):
    panel = continual(shipped)
    controls = {name for name, row in rows(panel).items() if row["control"]}
    assert controls == {"frozen", "norm", "source"}
    published = [row for row in panel["rows"] if "published" in row]
    assert {row["name"] for row in published} == {"source", "norm", "tent", "cotta", "eata"}
    assert not any("id" in row for row in published)
    assert [part["heading"] for part in panel["parts"] if part.get("published")] == [
        "published numbers"
    ]


def test_all_published_numbers_are_somewhere(shipped):
    panels = content(shipped)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    n = sum("published" in row for panel in panels for row in panel["rows"])
    assert n == len(published_rows())
    assert {panel["benchmark"] for panel in panels} == {row.benchmark for row in published_rows()}


def test_the_error_along_the_stream_is_the_traces(shipped, shelf, shipped_board):
    panel = continual(shipped)
    assert [segment["domain"] for segment in panel["segments"]] == panel["domains"]
    tent = rows(panel)["tent"]
    assert len(tent["along"]) == 60  # four parts in each of 15 segments
    by_segment = np.array(tent["along"]).reshape(15, 4).mean(1)
    section = next(s for s in shipped_board.sections if s.setting == "continual")
    line = next(line for line in section.lines if line.name == "tent")
    expected = [line.row.mean(domain) for domain in section.domains]
    assert by_segment == pytest.approx(expected, abs=0.15)


def test_a_row_has_its_whole_protocol(shipped):
    panel = continual(shipped)
    eata = rows(panel)["eata"]
    typed = "ctta run -m dataset=digits_c stream=continual model=digits_cnn_shipped method=eata"
    seeds = [run["seeds"][0] for run in eata["runs"]]
    assert eata["command"] == f"{typed} stream.seed={','.join(map(str, seeds))}"
    config = {**panel["config"], **eata["config"]}
    path = ROOT / "leaderboard/entries/digits_c/eata" / f"{eata['runs'][0]['identity']}.json"
    entry = json.loads(path.read_text())
    assert config == flat(entry["result"]["config"])
    assert eata["runs"][0]["trace_sha256"] == entry["result"]["trace_sha256"]
    assert content(shipped)["texts"][eata["artefact"]]["sha256"]
    assert seeds == list(range(len(seeds)))


def test_two_hundred_rows_fit_into_a_megabyte(many_rows):
    section = many_rows.section("digits_c", "continual", 200)
    text = page(Board([section]), many_rows, "../entries")
    panel = continual(text)
    assert len(rows(panel)) == 200
    assert len({row["config"]["method.number"] for row in rows(panel).values()}) == 200
    assert len(text.encode()) < 1_000_000


def test_hostile_strings_stay_text(many):
    many.change("authors", [HOSTILE], path=many.path("tent"))
    many.change("hardware", HOSTILE, path=many.path("tent"))
    for path in many.path("tent").parent.glob("*.json"):
        many.change("result.environment.device", HOSTILE, path=path)
    many.path("norm").write_text('{"<img src=x>": 1}')
    text = page(board(many.shelf), many.shelf, "x")
    tags = [tag for tag, _ in Elements(text).found]
    assert tags.count("script") == 2 and "img" not in tags
    texts = content(text)["texts"]
    assert any(HOSTILE in own for own in texts if isinstance(own, str))
    assert any(HOSTILE in own.values() for own in texts if isinstance(own, dict))
    assert any("schema_version: expected 1, got None" in p for p in content(text)["problems"])


def test_the_old_page_stays_until_the_new_one_is_whole(many, tmp_path, monkeypatch):
    found = board(many.shelf)
    path = build(found, many.shelf, tmp_path / "site")
    before = path.read_text()
    assert content(before)["entries"] == "../entries"

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
    found = content(Path(out.strip()).read_text())
    assert len(found["problems"]) == 1
    assert rows(found["panels"][0]).keys() == {"norm", "source", "eata"}


def test_a_panel_says_what_its_runs_set(shipped):
    found = {p["setting"]: p["set"] for p in content(shipped)["panels"] if p.get("model")}
    assert found["continual"] == [] and found["recurring"] == ["n_images=200", "rounds=3"]
