"""Bad entries among good ones: the good are shown, the bad listed, and no half page is written."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ctta.commands.leaderboard import Installations
from ctta.leaderboard.board import board
from ctta.leaderboard.check import with_code
from ctta.leaderboard.entry import Entry
from ctta.results.identity import run_identity

N = 2_000


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"nll": ', '"nll": NaN, "x": ', "is not JSON: NaN is no number"),
        ('"nll": ', '"nll": -Infinity, "x": ', "is not JSON: -Infinity is no number"),
        ('"nll": ', '"other": ', "result.metrics.nll: the trace says"),
        ('"authors": ', '"author": ', "authors: Field required"),
        ('{\n "schema_version": 1', '{\n "schema_version": 9', "schema_version: expected 1, got 9"),
        (
            '"metrics_version": 1',
            '"metrics_version": "1"',
            "result.metrics_version: Input should be a valid integer, got '1'",
        ),
        ('"paper": ', '"paper": "http://e.org", "x": ', "got 'http://e.org'"),
        ("}\n", "", "is not JSON"),
    ],
)
def test_it_is_left_out_and_the_others_stay(many, old, new, words):
    path = many.path("tent")
    text = path.read_text()
    assert old in text
    where = text.rindex(old)
    path.write_text(text[:where] + new + text[where + len(old) :])
    found = board(many.shelf)
    assert found.broken and any(words in str(problem) for problem in found.problems)
    assert {problem.where for problem in found.problems} == {f"digits_c/tent/{path.name}"}
    assert sum(len(line.entries) for s in found.sections for line in s.lines) == 11


@pytest.fixture
def another(many):
    """A second benchmark: the entry of `norm`, under another name."""
    (many.root / "other_c").mkdir()
    shutil.copytree(many.root / "digits_c/_known", many.root / "other_c/_known")
    place = many.root / "other_c/norm"
    place.mkdir()
    for file in (many.path(), many.path().with_suffix(".npz")):
        shutil.copy(file, place)
    (path,) = place.glob("*.json")
    for key in ("rerun.dataset", "result.config.names.dataset"):
        many.change(key, "other_c", path=path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"<<<<<<< HEAD\n{}", "is not JSON: Expecting value: line 1 column 1"),
        (b'{"weights": {"abc": "x"}, "streems": {}}', "streems: Extra inputs are not permitted"),
        (b"\xff", "cannot be read: 'utf-8' codec can't decode"),
    ],
)
def test_broken_hashes_leave_out_their_own_benchmark_alone(ctta, many, another, text, words):
    path = many.root / "digits_c/_known/hashes.json"
    path.write_bytes(text)
    found = board(many.shelf)
    (problem,) = found.problems
    assert problem.where == "digits_c/_known/hashes.json"
    assert words in problem.text
    assert f"type 'git checkout HEAD -- {path}' (left out until then: 12 entries)" in problem.text
    assert [section.benchmark for section in found.sections] == ["other_c"]
    folder = ("--entries", str(many.root))
    status, out, err = ctta("leaderboard", "build", *folder, "--site", "site")
    assert status == 1
    assert err.startswith(f"{problem}\n")
    assert Path(out.strip()).is_file()
    status, _, err = ctta("leaderboard", "table", "--benchmark", "digits_c", *folder)
    assert status == 2
    assert err.startswith(f"{problem}\n")
    assert "no entry of digits_c can be shown" in err
    status, out, _ = ctta("leaderboard", "check", *folder)
    assert (status, out.splitlines()[0]) == (1, str(problem))
    assert "13 entries, " in out


def test_of_two_that_are_the_same_run_the_first_is_shown(many):
    path = many.path("tent")
    other = path.with_name(f"{'f' * 64}.json")
    shutil.copy(path, other)
    shutil.copy(path.with_suffix(".npz"), other.with_suffix(".npz"))
    many.change("result.identity", "f" * 64, path=other)
    found = board(many.shelf)
    (problem,) = found.problems
    assert problem.where == f"digits_c/tent/{other.name}" and "the same run as" in str(problem)
    assert sum(len(line.entries) for s in found.sections for line in s.lines) == 12


SHOW = {
    "build": ("build", "--site", "site"),
    "table": ("table", "--benchmark", "digits_c"),
    "plot": ("plot", "corruptions", "--benchmark", "digits_c", "--to", "bars.svg"),
}


@pytest.mark.parametrize("name", SHOW)
def test_what_check_refuses_is_not_shown(ctta, many, name):
    """One entry is not what the installed configurations give, one is of another's plug-in."""
    many.change("result.config.method.bn_momentum", 0.5, path=many.path("norm"))
    other = many.path("tent")
    for key in ("rerun.method", "result.method.name", "result.config.names.method"):
        many.change(key, "theirs", path=other)
    place = many.root / "digits_c/theirs"
    place.mkdir()
    for file in (other, other.with_suffix(".npz")):
        file.rename(place / file.name)
    folder = ("--entries", str(many.root))
    status, refused, _ = ctta("leaderboard", "check", *folder)
    *told, count = refused.splitlines()
    assert status == 1
    assert count.startswith("12 entries, 1 problems, 1 questions")
    assert "result.config.method.bn_momentum: expected" in told[0]
    assert "rerun: question: method=theirs is not installed here" in told[1]
    status, out, err = ctta("leaderboard", *SHOW[name], *folder)
    assert (status, err.splitlines()) == (1, told)
    if name == "table":
        assert "theirs" in out


def fill(entries, n: int) -> list[Path]:
    """Copies of one entry with seeds of their own, without traces; paths in order."""
    path = entries.path()
    values = json.loads(path.read_text())
    composed = Installations()(Entry.load(path)).config
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    made, result, overrides = [], values["result"], values["rerun"]["overrides"]
    for seed in range(n):
        result["config"]["seed"] = result["seeds"]["method"] = seed
        result["identity"] = run_identity(
            with_code(result["config"], composed),
            weights=result["model"]["weights_sha256"],
            artefact=None,
            method=result["method"]["version"],
            stream=result["stream"]["stream_sha256"],
            metrics=result["metrics_version"],
        )
        values |= {
            "trace": None,
            "rerun": values["rerun"] | {"overrides": overrides | {"seed": seed}},
        }
        made.append(path.with_name(f"{result['identity']}.json"))
        made[-1].write_text(json.dumps(values))
    return made


@pytest.mark.slow
def test_three_of_two_thousand_are_broken(ctta, entries, tmp_path):
    paths = fill(entries, N)
    site = tmp_path / "site"
    words = ("leaderboard", "build", "--entries", str(entries.root), "--site", str(site))
    paths[0].write_text("{")
    entries.change("result.metrics.error_pct", 99.0, path=paths[1])
    entries.change("result.method.version", None, path=paths[2])
    status, out, err = ctta(*words)
    assert status == 1 and out.strip() == str(site / "index.html")
    told = err.splitlines()
    assert len(told) == 3
    for path, own in zip(paths[:3], ("is not JSON", "error_pct", "method.version"), strict=True):
        assert any(path.name in line and own in line for line in told)
    page = (site / "index.html").read_text()
    assert paths[3].stem[:12] in page and paths[-1].stem[:12] in page
    status, out, _ = ctta("leaderboard", "check", "--entries", str(entries.root))
    assert status == 1 and f"{N} entries, " in out


@pytest.mark.slow
def test_a_build_that_is_killed_leaves_the_old_page(entries, tmp_path):
    fill(entries, 200)
    site = tmp_path / "site"
    words = ["leaderboard", "build", "--entries", str(entries.root), "--site", str(site)]
    code = (
        "import os, signal, sys\n"
        "from ctta import cli, places\n"
        "if len(sys.argv) > 7: places.on_disk = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "cli.main(sys.argv[1:7])\n"
    )
    assert subprocess.run([sys.executable, "-c", code, *words], check=False).returncode == 0
    before = (site / "index.html").read_bytes()
    killed = subprocess.run([sys.executable, "-c", code, *words, "kill"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (site / "index.html").read_bytes() == before
