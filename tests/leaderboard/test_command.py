"""`ctta leaderboard` as it is typed."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = ["--author", "A. Author", "--tuning", "as installed"]


def test_check_says_one_line_a_problem(ctta, entries):
    status, out, _ = ctta("leaderboard", "check", "--entries", str(entries.root))
    assert status == 0 and out == "3 entries, 0 problems, 0 questions, 0 not verifiable\n"
    entries.change("result.metrics.nll", 0.1)
    entries.path(number=1).write_text("{")
    status, out, _ = ctta("leaderboard", "check", "--entries", str(entries.root))
    assert status == 1
    assert len(out.splitlines()) == 3 and "result.metrics.nll: the trace says" in out
    assert out.endswith(
        "3 entries, 2 problems, 0 questions, 0 not verifiable; make broken entries anew with "
        "'ctta leaderboard add'\n"
    )


@pytest.mark.parametrize(
    ("form", "begins"),
    [("md", "**digits"), ("latex", "% needs"), ("csv", "benchmark,"), ("html", "<table>")],
)
def test_table_is_written(ctta, entries, form, begins):
    status, out, _ = ctta(
        *("leaderboard", "table", "--benchmark", "digits_c"),
        *("--entries", str(entries.root), "--format", form),
    )
    assert status == 0 and out.startswith(begins)


def test_a_table_without_some_entries_says_so(ctta, entries):
    entries.path().write_text("{")
    table = ("leaderboard", "table", "--benchmark", "digits_c", "--format", "json")
    status, out, err = ctta(*table, "--entries", str(entries.root))
    assert status == 1 and "is not JSON" in err
    assert json.loads(out)[0]["orders"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--benchmark", "cifar10_c"], "--benchmark: expected one of digits_c, got 'cifar10_c'"),
        (["--benchmark", "digits_c", "--setting", "x"], "--setting: expected one of continual"),
        (
            ["--benchmark", "digits_c", "--format", "csv", "--into", "x"],
            "--into: expected --format md, got csv",
        ),
    ],
)
def test_what_is_not_there_is_said(ctta, entries, words, message):
    status, _, err = ctta("leaderboard", "table", "--entries", str(entries.root), *words)
    assert status == 2 and message in err


@pytest.mark.parametrize("words", [["check"], ["build"], ["table", "--benchmark", "digits_c"]])
def test_a_folder_that_is_not_there_is_said(ctta, words):
    status, _, err = ctta("leaderboard", *words, "--entries", "nowhere")
    assert status == 2 and "nowhere" in err and "--entries" in err and "Errno" not in err
    assert len(err.splitlines()) == 1


@pytest.mark.slow
def test_a_run_becomes_an_entry_that_holds(ctta, tmp_path):
    run = ("run", "method=norm", "model=digits_cnn_shipped", "dataset.n_images=16", "stream.seed=3")
    assert ctta(*run, "stream.batch_size=8")[0] == 0
    (folder,) = (tmp_path / "runs").glob("norm-*")
    places = ("--entries", str(tmp_path / "lab"))
    status, _, err = ctta("leaderboard", "add", str(folder), *places, *WORDS)
    assert status == 2 and "not known in" in err and "--new-hashes" in err
    status, out, err = ctta("leaderboard", "add", str(folder), *places, *WORDS, "--new-hashes")
    assert status == 0, err
    status, _, err = ctta(
        "leaderboard", "add", str(folder), *places, *WORDS, "--tuning-kind", "grid"
    )
    assert status == 2 and "tuning.kind: no choice by sweep=tune is recorded" in err
    entry = json.loads(Path(out.strip()).read_text())
    assert entry["rerun"]["overrides"] == {
        "dataset.n_images": 16,
        "stream.batch_size": 8,
        "stream.seed": 3,
    }
    assert str(tmp_path) not in Path(out.strip()).read_text()
    assert ctta("leaderboard", "add", str(folder), *places, *WORDS)[0] == 0
    status, out, _ = ctta("leaderboard", "check", *places, "--rerun")
    assert status == 0 and out == "1 entries, 0 problems, 0 questions, 0 not verifiable\n"


@pytest.mark.slow
def test_the_shipped_entries_hold(ctta):
    entries = ROOT / "leaderboard" / "entries"
    n = len({path for path in entries.rglob("*.json") if path.parent.name != "_known"})
    assert n > 300
    status, out, _ = ctta("leaderboard", "check", "--entries", str(entries))
    assert status == 0 and out == f"{n} entries, 0 problems, 0 questions, 0 not verifiable\n"


@pytest.mark.slow
def test_the_tables_in_the_readme_are_up_to_date(ctta):
    readme = (ROOT / "leaderboard" / "README.md").read_text(encoding="utf-8")
    copy = Path("README.md")
    copy.write_text(readme, encoding="utf-8")
    words = ("build", "--tables", str(copy), "--site", "site")
    assert ctta("leaderboard", *words, "--entries", str(ROOT / "leaderboard/entries"))[0] == 0
    assert copy.read_text(encoding="utf-8") == readme
    table = ("table", "--benchmark", "digits_c", "--into", str(copy))
    assert ctta("leaderboard", *table, "--entries", str(ROOT / "leaderboard/entries"))[0] == 0
    assert copy.read_text(encoding="utf-8") == readme
