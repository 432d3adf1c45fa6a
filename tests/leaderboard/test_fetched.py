"""Traces that are linked: fetched when asked for, bounded, by their hash, and kept."""

import sys
from pathlib import Path

import pytest

from ctta.commands import leaderboard
from ctta.data.transfer import UnavailableError
from ctta.leaderboard import fetched
from ctta.leaderboard.board import board
from ctta.leaderboard.check import Check
from ctta.leaderboard.entry import ShippedTrace
from ctta.leaderboard.fetched import fetch_trace, kept
from ctta.leaderboard.shipped import file_sha256

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))


@pytest.fixture
def server(monkeypatch, tmp_path):
    from served import Server

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("CTTA_OFFLINE", raising=False)
    monkeypatch.setenv("CTTA_CACHE", str(tmp_path / "cache"))
    local = Server()
    yield local
    local.close()


@pytest.fixture
def away(entries, server):
    """The entries, of which one has its trace on the server; its file there as bytes."""
    path = entries.path().with_suffix(".npz")
    server.files["/a.npz"] = path.read_bytes()
    entries.change("trace.link", "https://example.org/a.npz")
    path.unlink()
    return entries


def linked(entries, server) -> ShippedTrace:
    """The entry's trace with an address that a test can have; an entry has https alone."""
    (filed,), _ = entries.shelf.read(entries.path())
    return filed.entry.trace.model_copy(update={"link": f"{server.url}/a.npz"})


def problems(entries):
    found, broken = entries.shelf.read(entries.path())
    return [*broken, *Check(entries.shelf).check(found)]


def test_a_fetched_trace_is_verified_from_then_on_and_asked_for_once(away, server):
    trace = linked(away, server)
    (filed,), _ = away.shelf.read(away.path())
    assert filed.unverified == "not verified here"
    (line,) = board(away.shelf).sections[0].lines
    assert line.label == "norm (control, not verified here)"
    path = fetch_trace(trace)
    assert path == kept(trace.sha256) and file_sha256(path) == trace.sha256
    assert not filed.unverified and not problems(away)
    away.change("result.metrics.nll", 0.1)
    assert "result.metrics.nll" in str(problems(away)[0])
    assert fetch_trace(trace) == path and len(server.asked) == 1
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_another_content_is_refused_and_not_kept(away, server):
    trace = linked(away, server)
    server.files["/a.npz"] = server.files["/a.npz"][:-1] + b"x"
    with pytest.raises(UnavailableError, match="expected sha256"):
        fetch_trace(trace)
    assert not list(kept(trace.sha256).parent.iterdir())


@pytest.mark.parametrize("chunked", [False, True])  # with a declared size, and without
def test_what_is_too_large_is_refused(away, server, monkeypatch, chunked):
    from served import Step

    monkeypatch.setattr(fetched, "LARGEST", 1000)
    server.plan["/a.npz"] = [Step(chunked=chunked)]
    trace = linked(away, server)
    with pytest.raises(ValueError, match="at most 1000 bytes"):
        fetch_trace(trace)
    assert not list(kept(trace.sha256).parent.iterdir())


def test_a_trace_that_was_changed_once_it_was_kept_is_found(away, server):
    path = fetch_trace(linked(away, server))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert "trace: expected" in str(problems(away)[0])


def test_without_a_network_nothing_is_asked(away, server, monkeypatch):
    monkeypatch.setenv("CTTA_OFFLINE", "1")
    with pytest.raises(ValueError, match="CTTA_OFFLINE is set; unset it"):
        fetch_trace(linked(away, server))
    assert not server.asked


def test_check_fetches_only_where_it_is_told_to(ctta, away, server, monkeypatch):
    trace = linked(away, server)
    asked = []
    monkeypatch.setattr(
        leaderboard, "Installations", lambda: None
    )  # no composition: another test has it
    monkeypatch.setattr("ctta.leaderboard.fetched.fetch_trace", lambda t: asked.append(t.link))
    words = ("leaderboard", "check", "--entries", str(away.root))
    status, out, _ = ctta(*words)
    assert status == 0 and not asked
    assert out.endswith("3 entries, 0 problems, 0 questions, 0 not verifiable, "
                        "1 not verified here (--download)\n")  # fmt: skip
    ctta(*words, "--download")
    assert asked == ["https://example.org/a.npz"]

    def gone(_):
        raise UnavailableError("/a.npz: no address gives it (the server answers 404)")

    monkeypatch.setattr("ctta.leaderboard.fetched.fetch_trace", gone)
    status, out, _ = ctta(*words, "--download")
    assert status == 1 and f"{trace.sha256}" not in out
    assert "trace.link: /a.npz: no address gives it" in out
