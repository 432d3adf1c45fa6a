"""The workflow that checks pull requests: what it may do, and which entries it runs again."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/leaderboard.yml").read_text())
ENTRY = "leaderboard/entries/digits_c/{}/{}.json"


def test_a_pull_request_may_only_read():
    # YAML 1.1 reads the key `on` as true.
    assert set(WORKFLOW[True]) == {"pull_request", "push", "workflow_dispatch"}
    assert WORKFLOW["permissions"] == {"contents": "read"}
    check, publish = WORKFLOW["jobs"]["check"], WORKFLOW["jobs"]["publish"]
    assert "permissions" not in check
    assert publish["permissions"] == {"contents": "write"} and publish["needs"] == "check"
    assert "github.event_name != 'pull_request'" in publish["if"]
    assert "refs/heads/main" in publish["if"]


def test_nothing_that_a_pull_request_says_becomes_shell():
    for job in WORKFLOW["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/x@v1"))


def test_its_commands_are_there():
    said = "\n".join(s.get("run", "") for job in WORKFLOW["jobs"].values() for s in job["steps"])
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (\w+)", said):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for path in re.findall(r"\.ci/\w+", said):
        assert (ROOT / path).is_file() and os.access(ROOT / path, os.X_OK)


@pytest.fixture
def changed(tmp_path, monkeypatch):
    """A repository with `.ci/rerun_new`, and a ctta that writes down what it was asked."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "A")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.org")
    work, fake = tmp_path / "work", tmp_path / "bin"
    (work / ".ci").mkdir(parents=True)
    (work / ".ci" / "rerun_new").write_bytes((ROOT / ".ci" / "rerun_new").read_bytes())
    (work / ".ci" / "rerun_new").chmod(0o755)
    fake.mkdir()
    (fake / "ctta").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    (fake / "ctta").chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")

    def git(*words):
        subprocess.run(["git", *words], cwd=work, check=True, capture_output=True)

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "before")

    def call(*names) -> tuple[str, list[str]]:
        for name in names:
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text("{}")
        git("add", ".")
        git("commit", "--quiet", "--allow-empty", "-m", "after")
        done = subprocess.run(
            [".ci/rerun_new", "HEAD~1"], cwd=work, check=True, capture_output=True, text=True
        )
        asked = tmp_path / "asked"
        return done.stdout, asked.read_text().splitlines() if asked.exists() else []

    return call


def test_three_new_entries_are_run_again(changed):
    names = [ENTRY.format("mine", str(i) * 64) for i in range(5)]
    said, asked = changed(*names)
    assert said == "3 entries to run again\n"
    assert asked == [f"leaderboard check {name} --rerun" for name in names[:3]]


def test_other_names_are_not_taken(changed):
    said, asked = changed(
        ENTRY.format("mine", "$(reboot)"),
        ENTRY.format("a b", "1" * 64),
        "leaderboard/entries/imagenet_c/tent/" + "1" * 64 + ".json",
        "leaderboard/entries/digits_c/_known/hashes.json",
        "elsewhere/" + ENTRY.format("mine", "1" * 64),
    )
    assert said == "0 entries to run again\n" and asked == []
