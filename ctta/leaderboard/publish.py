"""The page with all that it links to, put into a folder or onto a branch for pages.

Neither a user's working tree nor the index is touched: a branch is written with git's plumbing,
from a folder of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from ctta.leaderboard.board import Board
from ctta.leaderboard.shelf import Shelf
from ctta.leaderboard.site import build

MARK = ".ctta-leaderboard"  # what an earlier call published, and so what may be replaced
MARK_TEXT = "Written by 'ctta leaderboard publish', which replaces all of it.\n"
# Of a hook or an outer git: they would name another repository, index or tree.
UNTOLD = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")
NO_JEKYLL = ".nojekyll"  # else GitHub leaves out folders that begin with an underscore


def to_folder(board: Board, shelf: Shelf, docs: Path | None, folder: Path) -> Path:
    """Publish into ``folder``, whose earlier content stays until the new one is whole.

    Args:
        board: of all entries.
        shelf: the entries.
        docs: a built documentation site to go along, under ``docs/``; None: none.
        folder: one that is not there, is empty, or was published into before.

    Raises:
        ValueError: it is among the entries, something else is in it, or what is to be
            published is not whole.
    """
    folder = folder.resolve()
    if folder.is_relative_to(shelf.root.resolve()):
        raise ValueError(f"--to: {folder} is in the folder of entries; choose one outside of it")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--to: expected a folder, {folder} is a file")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise ValueError(
            f"--to: {folder} holds what was not published by this command; choose an empty folder"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as place:
        new, old = Path(place) / "new", Path(place) / "old"
        write(board, shelf, docs, new)
        if folder.exists():
            folder.replace(old)
        try:
            new.replace(folder)
        except OSError:
            if old.exists():
                old.replace(folder)
            raise
    return folder


def write(board: Board, shelf: Shelf, docs: Path | None, folder: Path) -> None:
    """Page, entries and documentation, into a new folder.

    Raises:
        ValueError: entries are broken, or ``docs`` is no built site.
    """
    broken = [str(problem) for problem in board.problems if not problem.question]
    if broken:
        raise ValueError(
            f"nothing is published: {broken[0]}"
            + (f" (and {len(broken) - 1} problems more)" if len(broken) > 1 else "")
            + "; see 'ctta leaderboard check'"
        )
    if docs is not None and not (docs / "index.html").is_file():
        raise ValueError(f"--docs: expected a built site in {docs}, found no index.html")
    shutil.copytree(shelf.root, folder / "entries", ignore=shutil.ignore_patterns(".*"))
    build(board, Shelf(folder / "entries"), folder)
    if docs is not None:
        shutil.copytree(docs, folder / "docs")
    (folder / NO_JEKYLL).touch()
    (folder / MARK).write_text(MARK_TEXT, encoding="utf-8")


def to_branch(
    board: Board, shelf: Shelf, docs: Path | None, branch: str, remote: str | None
) -> str | None:
    """Publish as a commit on ``branch`` of the repository that holds the entries.

    Args:
        board: of all entries.
        shelf: the entries.
        docs: as in `to_folder`.
        branch: is made without a parent where it is not there yet.
        remote: where to push to, and to fetch the branch from if only that has it; None: nowhere.

    Returns:
        The new commit; None: the branch has all of it already.

    Raises:
        ValueError: no repository, a branch that is checked out or was not published by this
            command, or git's own error.
    """
    here = shelf.root.resolve()
    git(here, "rev-parse", "--git-dir")
    git(here, "check-ref-format", "--branch", branch)
    ref = f"refs/heads/{branch}"
    if f"branch {ref}" in git(here, "worktree", "list", "--porcelain").splitlines():
        raise ValueError(f"--to: {branch} is checked out; choose a branch for pages alone")
    if remote is not None and remote.startswith("-"):
        raise ValueError(f"--push: expected the name of a remote, got {remote}")
    parent = tip(here, ref)
    if parent is None and remote is not None and git(here, "ls-remote", remote, ref):
        git(here, "fetch", "--quiet", remote, f"{ref}:{ref}")
        parent = tip(here, ref)
    if parent is not None and not git(here, "ls-tree", "--full-tree", parent, MARK):
        raise ValueError(
            f"--to: {branch} holds what was not published by this command; choose another branch"
        )
    with TemporaryDirectory() as place:
        write(board, shelf, docs, Path(place) / "new")
        tree = tree_of(here, Path(place) / "new", Path(place) / "index")
    commit = None
    if parent is None or git(here, "rev-parse", f"{parent}^{{tree}}") != tree:
        parents = [] if parent is None else ["-p", parent]
        commit = git(here, "commit-tree", tree, *parents, "-m", "Leaderboard published")
        git(here, "update-ref", ref, commit, parent or "0" * len(commit))
    if remote is not None:
        git(here, "push", "--quiet", remote, f"{ref}:{ref}")
    return commit


def tree_of(repository: Path, folder: Path, index: Path) -> str:
    """Write all of ``folder`` to the repository's objects, by an index of its own; the tree."""
    own = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(folder)}
    directory = git(repository, "rev-parse", "--absolute-git-dir")
    exact = ("-c", "core.autocrlf=false", "-c", "core.fileMode=false")
    git(folder, *exact, "add", "--all", "--force", ".", GIT_DIR=directory, **own)
    return git(folder, "write-tree", GIT_DIR=directory, **own)


def tip(repository: Path, ref: str) -> str | None:
    """The commit at ``ref``; None: there is no such branch."""
    return git(repository, "for-each-ref", "--format=%(objectname)", ref) or None


def git(folder: Path, *words: str, **variables: str) -> str:
    """What git says in ``folder``.

    Raises:
        ValueError: it is not there, or fails; with its own last line.
    """
    kept = {k: v for k, v in os.environ.items() if k not in UNTOLD}
    try:
        done = subprocess.run(
            ["git", *words],
            cwd=folder,
            env=kept | {"GIT_TERMINAL_PROMPT": "0"} | variables,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise ValueError(f"git cannot be run: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ValueError(f"git {words[0]}: {said[-1] if said else f'status {done.returncode}'}")
    return done.stdout.strip()
