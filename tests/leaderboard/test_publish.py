"""Publishing: whole or not at all, and no working tree, index or foreign folder is touched."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from ctta.leaderboard.board import board
from ctta.leaderboard.publish import MARK, to_branch, to_folder


def git(folder, *words):
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(many, tmp_path, monkeypatch):
    """A repository with the entries, work in progress and a bare one that it pushes to."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "A. Author")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "author@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    work = many.root.parent
    git(work, "init", "--quiet", "--initial-branch", "main")
    git(work, "init", "--quiet", "--bare", "remote.git")
    git(work, "remote", "add", "origin", str(work / "remote.git"))
    (work / ".gitignore").write_text("*.npz\nremote.git\n")
    git(work, "add", ".gitignore", "entries")
    git(work, "commit", "--quiet", "-m", "entries")
    (work / "unfinished.txt").write_text("half")
    git(work, "add", "unfinished.txt")
    (work / "unfinished.txt").write_text("half and more")
    return work


def state(repository):
    """What a user would miss: files, index, HEAD and branch."""
    files = {
        path.relative_to(repository): path.read_bytes()
        for path in repository.rglob("*")
        if path.is_file() and ".git" not in path.parts and "remote.git" not in path.parts
    }
    return (
        files,
        git(repository, "status", "--porcelain=2", "--branch"),
        git(repository, "stash", "list"),
    )


def links(page: str) -> set[str]:
    """What the page's script makes links of: records and traces."""
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1]
    content = json.loads(data)
    assert content["entries"] == "entries"
    return {
        f"entries/{panel['benchmark']}/{row['method']}/{run['identity']}.{ending}"
        for panel in content["panels"]
        for row in panel["rows"]
        for run in row.get("runs", ())
        for ending in ("json", "npz")
    }


def test_a_folder_has_the_page_and_all_that_it_links_to(many, tmp_path):
    docs = tmp_path / "built"
    docs.mkdir()
    (docs / "index.html").write_text("docs")
    place = to_folder(board(many.shelf), many.shelf, docs, tmp_path / "a" / "pages")
    page = (place / "index.html").read_text()
    assert len(links(page)) == 24 and all((place / link).is_file() for link in links(page))
    assert (place / ".nojekyll").is_file() and (place / "docs" / "index.html").is_file()
    assert [p.name for p in place.parent.iterdir()] == ["pages"]


def test_a_folder_is_replaced_only_where_it_was_published_into(many, tmp_path):
    place = tmp_path / "pages"
    place.mkdir()
    (place / "thesis.tex").write_text("years of work")
    found = board(many.shelf)
    with pytest.raises(ValueError, match="not published by this command; choose an empty folder"):
        to_folder(found, many.shelf, None, place)
    assert (place / "thesis.tex").read_text() == "years of work"
    (place / "thesis.tex").unlink()
    to_folder(found, many.shelf, None, place)
    (place / "entries" / "old.json").write_text("{}")
    to_folder(found, many.shelf, None, place)
    assert not (place / "entries" / "old.json").exists()
    with pytest.raises(ValueError, match="is in the folder of entries; choose one outside"):
        to_folder(found, many.shelf, None, many.root / "digits_c" / "pages")
    assert not (many.root / "digits_c" / "pages").exists()
    with pytest.raises(ValueError, match="is a file"):
        to_folder(found, many.shelf, None, place / "index.html")


def test_broken_entries_are_not_published_and_the_old_page_stays(many, tmp_path, monkeypatch):
    place = to_folder(board(many.shelf), many.shelf, None, tmp_path / "pages")
    before = (place / "index.html").read_bytes()
    path = many.path("tent")
    whole = path.read_text()
    path.write_text("{")
    with pytest.raises(ValueError, match=r"nothing is published: digits_c/tent/.* is not JSON"):
        to_folder(board(many.shelf), many.shelf, None, place)
    path.write_text(whole)
    with pytest.raises(ValueError, match=r"--docs: expected a built site .* no index\.html"):
        to_folder(board(many.shelf), many.shelf, tmp_path / "nothing", place)

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("ctta.leaderboard.publish.build", full)
    with pytest.raises(OSError, match="No space"):
        to_folder(board(many.shelf), many.shelf, None, place)
    assert (place / "index.html").read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} >= {"pages"}
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".pages")]


def test_a_branch_gets_a_commit_and_the_users_tree_nothing(many, repository):
    before = state(repository)
    found = board(many.shelf)
    commit = to_branch(found, many.shelf, None, "gh-pages", "origin")
    assert state(repository) == before
    names = git(repository, "ls-tree", "-r", "--name-only", "gh-pages").splitlines()
    assert {"index.html", ".nojekyll", MARK} <= set(names)
    assert [name for name in names if name.endswith(".npz")]  # although .gitignore leaves them out
    assert "unfinished.txt" not in names
    page = git(repository, "show", "gh-pages:index.html")
    assert len(links(page)) == 24 and links(page) <= set(names)
    assert git(repository / "remote.git", "rev-parse", "gh-pages") == commit
    assert git(repository, "rev-list", "--count", "gh-pages") == "1"
    assert to_branch(found, many.shelf, None, "gh-pages", "origin") is None
    for path in many.root.glob("digits_c/tent/*"):
        path.unlink()
    later = to_branch(board(many.shelf), many.shelf, None, "gh-pages", "origin")
    assert git(repository, "rev-parse", f"{later}^") == commit
    assert git(repository / "remote.git", "rev-parse", "gh-pages") == later


def test_what_only_the_remote_has_is_gone_on_from(many, repository):
    found = board(many.shelf)
    commit = to_branch(found, many.shelf, None, "gh-pages", "origin")
    git(repository, "branch", "-D", "gh-pages")
    for path in many.root.glob("digits_c/tent/*"):
        path.unlink()
    later = to_branch(board(many.shelf), many.shelf, None, "gh-pages", "origin")
    assert git(repository, "rev-parse", f"{later}^") == commit


def test_branches_with_other_content_are_refused(many, repository):
    found, before = board(many.shelf), state(repository)
    with pytest.raises(ValueError, match="main is checked out"):
        to_branch(found, many.shelf, None, "main", None)
    git(repository, "branch", "work")
    with pytest.raises(ValueError, match="work holds what was not published by this command"):
        to_branch(found, many.shelf, None, "work", None)
    for name in ("a..b", "--force", ""):
        with pytest.raises(ValueError, match="git check-ref-format"):
            to_branch(found, many.shelf, None, name, None)
    with pytest.raises(ValueError, match="--push: expected the name of a remote"):
        to_branch(found, many.shelf, None, "gh-pages", "--upload-pack=x")
    with pytest.raises(ValueError, match="git ls-remote: "):
        to_branch(found, many.shelf, None, "gh-pages", "nowhere")
    assert state(repository) == before
    assert git(repository, "branch", "--format=%(refname:short)").split() == ["main", "work"]


def test_someone_elses_push_is_not_overwritten(many, repository):
    found = board(many.shelf)
    commit = to_branch(found, many.shelf, None, "gh-pages", "origin")
    other = git(repository, "commit-tree", f"{commit}^{{tree}}", "-p", commit, "-m", "theirs")
    git(repository, "push", "--quiet", "origin", f"{other}:refs/heads/gh-pages")
    for path in many.root.glob("digits_c/tent/*"):
        path.unlink()
    with pytest.raises(ValueError, match="git push: "):
        to_branch(board(many.shelf), many.shelf, None, "gh-pages", "origin")
    assert git(repository / "remote.git", "rev-parse", "gh-pages") == other


def test_a_hooks_variables_do_not_lead_elsewhere(many, repository, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_INDEX_FILE", str(repository / ".git" / "index"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nothing"))
    commit = to_branch(board(many.shelf), many.shelf, None, "gh-pages", None)
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert git(repository, "rev-parse", "gh-pages") == commit
    assert git(repository, "diff", "--cached", "--name-only") == "unfinished.txt"


def test_publish_is_typed(ctta, many, tmp_path, monkeypatch):
    words = ("leaderboard", "publish", "--entries", str(many.root))
    status, out, _ = ctta(*words, "--to", str(tmp_path / "pages"))
    assert status == 0 and Path(out.strip(), "index.html").is_file()
    status, _, err = ctta(*words, "--to", "pages", "--push", "origin")
    assert status == 2 and "expected --to branch:NAME with it" in err
    many.path("tent").write_text("{")
    status, _, err = ctta(*words, "--to", str(tmp_path / "pages"))
    assert status == 2 and "nothing is published" in err
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    many.path("tent").unlink()
    status, _, err = ctta(*words, "--to", "branch:gh-pages")
    assert status == 2 and "git rev-parse: " in err
