"""One file over HTTP, from servers that fail."""

import email.utils
import hashlib
import json
import ssl
import time
import urllib.error

import numpy as np
import pytest
from served import Step

from ctta.data import transfer, zenodo
from ctta.data.catalogue import File
from ctta.data.transfer import UnavailableError, fetch
from ctta.data.watch import Nobody

BODY = np.random.Generator(np.random.PCG64(1)).bytes(100_000)
OTHER = np.random.Generator(np.random.PCG64(2)).bytes(100_000)


def file_of(server, *paths, body=BODY, known=True, **more):
    """A file of the catalogue at these paths of the server."""
    urls = tuple(server.url + path for path in paths)
    if known:
        more = {"size": len(body), "md5": hashlib.md5(body).hexdigest()} | more
    return File("data.tar", urls, **more)


class Waits(list):
    """A sleeper that does not sleep."""

    def __call__(self, seconds):
        self.append(seconds)


def get(file, folder, *, watch=None, room=lambda n_bytes: None):
    """(content, waits) of a transfer."""
    waits = Waits()
    part = folder / "data.tar.part"
    fetch(file, part, watch=watch or Nobody(), room=room, sleep=waits)
    return part.read_bytes(), waits


def test_a_cut_connection_is_taken_up_where_it_ended(server, tmp_path):
    server.files["/a"] = BODY
    server.plan["/a"] = [Step(cut=30_000), Step(cut=20_000)]
    assert get(file_of(server, "/a"), tmp_path) == (BODY, [1, 1])
    assert [r for _, r, _ in server.asked] == [None, "bytes=30000-", "bytes=50000-"]
    assert server.asked[1][2].startswith('"')  # only if it is still the same
    assert server.sent == len(BODY)


def test_a_later_call_goes_on_and_asks_for_nothing_twice(server, tmp_path):
    server.files["/a"] = BODY
    server.plan["/a"] = [Step(cut=60_000)]

    class Interrupting(Nobody):
        def advance(self, n_bytes):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(file_of(server, "/a"), tmp_path, watch=Interrupting())
    kept = (tmp_path / "data.tar.part").stat().st_size
    assert 0 < kept <= 60_000
    assert get(file_of(server, "/a"), tmp_path) == (BODY, [])
    assert server.asked[-1][1] == f"bytes={kept}-"
    n = len(server.asked)
    get(file_of(server, "/a"), tmp_path)  # whole already
    assert len(server.asked) == n


@pytest.mark.parametrize("known", [True, False])
def test_a_server_that_knows_no_ranges_gives_all_again(server, tmp_path, known):
    server.files["/a"] = BODY
    server.plan["/a"] = [Step(cut=30_000), Step(ranges=False)]
    assert get(file_of(server, "/a", known=known), tmp_path)[0] == BODY


@pytest.mark.parametrize(
    ("step", "changed"),
    [
        (Step(), OTHER),  # the condition fails: the whole of the new content
        (Step(conditions=False), OTHER),  # a part of the new content, with its own ETag
        (Step(conditions=False, headers={"ETag": None}), OTHER + b"more"),  # told by its length
    ],
    ids=["If-Range", "ETag", "length"],
)
def test_a_content_that_changed_in_between_is_not_mixed(server, tmp_path, step, changed):
    server.files["/a"] = BODY
    server.plan["/a"] = [Step(cut=30_000, headers={"ETag": '"old"'}), step]
    file = file_of(server, "/a", known=False)

    class Changing(Nobody):
        def advance(self, n_bytes):
            server.files["/a"] = changed

    assert get(file, tmp_path, watch=Changing())[0] == changed


def test_pieces_that_do_not_belong_together_are_noticed_by_the_checksum(server, tmp_path):
    server.files |= {"/a": BODY, "/b": BODY}
    silent = {"ETag": None}
    server.plan["/a"] = [Step(cut=30_000, headers=silent, body=OTHER)]
    server.always["/a"] = Step(404)
    assert get(file_of(server, "/a", "/b"), tmp_path)[0] == BODY
    assert [r for p, r, _ in server.asked if p == "/b"] == ["bytes=30000-", None]


def test_nothing_is_taken_up_that_nothing_could_tell(server, tmp_path):
    server.files["/a"] = BODY
    server.plan["/a"] = [Step(cut=30_000, headers={"ETag": None})]
    assert get(file_of(server, "/a", known=False), tmp_path)[0] == BODY
    assert [r for _, r, _ in server.asked] == [None, None]


def test_a_weak_etag_is_no_condition_but_a_date_is(server, tmp_path):
    server.files["/a"] = BODY
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    headers = {"ETag": 'W/"x"', "Last-Modified": date}
    server.plan["/a"] = [Step(cut=30_000, headers=headers), Step(headers=headers, conditions=False)]
    assert get(file_of(server, "/a", known=False), tmp_path)[0] == BODY
    assert server.asked[1][1:] == ("bytes=30000-", date)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_leads_to_the_next_mirror(server, tmp_path, status):
    server.files["/b"] = BODY
    server.always["/a"] = Step(status)
    assert get(file_of(server, "/a", "/b"), tmp_path) == (BODY, [])
    assert [p for p, _, _ in server.asked] == ["/a", "/b"]


def test_when_no_mirror_gives_it_each_reason_is_told(server, tmp_path):
    server.always |= {"/a": Step(403), "/b": Step(404)}
    with pytest.raises(UnavailableError) as error:
        get(file_of(server, "/a", "/b"), tmp_path)
    assert "data.tar: no address gives it" in str(error.value)
    assert "/a: the server answers 403 Forbidden" in str(error.value)
    assert "/b: the server answers 404 Not Found" in str(error.value)


def test_a_busy_server_is_given_time(server, tmp_path):
    server.files["/a"] = BODY
    server.plan["/a"] = [Step(500), Step(503), Step(429, {"Retry-After": "7"}), Step(502)]
    assert get(file_of(server, "/a"), tmp_path) == (BODY, [1, 2, 7, 8])


def test_a_date_to_retry_after_is_understood():
    soon = email.utils.formatdate(time.time() + 50, usegmt=True)
    assert 40 < transfer.retry_after(soon) <= 50
    past = "Wed, 21 Oct 2015 07:28:00 GMT"
    assert [transfer.retry_after(v) for v in (None, "", "soon", "-3", past)] == [0, 0, 0, 0, 0]


def test_who_asks_to_wait_too_long_is_left_for_the_next_mirror(server, tmp_path):
    server.files["/b"] = BODY
    server.plan["/a"] = [Step(429, {"Retry-After": "86400"})]
    assert get(file_of(server, "/a", "/b"), tmp_path) == (BODY, [])
    server.plan["/a"] = [Step(429, {"Retry-After": "86400"})]
    (tmp_path / "data.tar.part").unlink()
    with pytest.raises(UnavailableError, match=r"429 .*, and asks to wait 86400 s"):
        get(file_of(server, "/a"), tmp_path)


@pytest.mark.parametrize(
    "step", [Step(500), Step(cut=0), Step(cut=30_000, ranges=False)], ids=["500", "nothing", "same"]
)
def test_a_server_that_never_gets_further_is_given_up(server, tmp_path, step):
    server.files |= {"/a": BODY, "/b": BODY}
    server.always["/a"] = step
    assert get(file_of(server, "/a", "/b"), tmp_path) == (BODY, [1, 2, 4, 8])
    assert [p for p, _, _ in server.asked] == [*["/a"] * 5, "/b"]


def test_nobody_at_the_address(server, tmp_path):
    server.files["/b"] = BODY
    file = file_of(server, "/b", known=True)
    file = File(file.name, ("http://127.0.0.1:1/a", *file.urls), file.size, file.md5)
    assert get(file, tmp_path) == (BODY, [1, 2, 4, 8])


def test_https_is_not_left_on_the_way(tmp_path, monkeypatch):
    class Answer:
        url = "http://elsewhere/a"

        def close(self):
            pass

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: Answer())
    with pytest.raises(UnavailableError, match="sends on to http://elsewhere/a, which is not htt"):
        get(File("data.tar", ("https://x/a",)), tmp_path)


def test_a_bad_certificate_is_not_asked_again(tmp_path, monkeypatch):
    def urlopen(*_, **__):
        raise urllib.error.URLError(ssl.SSLCertVerificationError("expired"))

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    waits = Waits()
    with pytest.raises(UnavailableError, match=r"https://x/a: .*expired"):
        fetch(
            File("data.tar", ("https://x/a",)),
            tmp_path / "part",
            watch=Nobody(),
            room=lambda n_bytes: None,
            sleep=waits,
        )
    assert waits == []


def test_a_wrong_checksum_is_never_used(server, tmp_path):
    server.files |= {"/a": OTHER, "/b": BODY}
    assert get(file_of(server, "/a", "/b"), tmp_path)[0] == BODY
    server.files["/b"] = OTHER
    (tmp_path / "data.tar.part").unlink()
    with pytest.raises(UnavailableError, match=r"/b: expected md5 .*, got"):
        get(file_of(server, "/a", "/b"), tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UnavailableError, match=r"expected sha256 0+, got"):
        get(file_of(server, "/a", body=OTHER, sha256="0" * 64), tmp_path)


@pytest.mark.parametrize("length", [99_999, 100_001])
def test_a_wrong_size_is_refused_before_its_first_byte(server, tmp_path, length):
    server.files["/a"] = (BODY + b"x")[:length]
    with pytest.raises(UnavailableError, match=f"expected 100000 bytes, the server has {length}"):
        get(file_of(server, "/a"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_was_not_declared_is_counted(server, tmp_path):
    server.always["/a"] = Step(chunked=True)
    server.files["/a"] = BODY + b"x"
    with pytest.raises(UnavailableError, match="expected 100000 bytes, the server gives more"):
        get(file_of(server, "/a"), tmp_path)
    server.files["/a"] = BODY
    server.plan["/a"] = [Step(chunked=True, cut=30_000)]
    assert get(file_of(server, "/a"), tmp_path)[0] == BODY


def test_a_page_is_no_file(server, tmp_path):
    server.always["/a"] = Step(headers={"Content-Type": "text/html; charset=utf-8"}, body=b"<html>")
    with pytest.raises(UnavailableError, match="a page and no file"):
        get(file_of(server, "/a", known=False), tmp_path)


def test_what_lies_there_beyond_the_end_is_not_taken_up(server, tmp_path):
    server.files["/a"] = BODY
    (tmp_path / "data.tar.part").write_bytes(BODY + b"x")
    assert get(file_of(server, "/a"), tmp_path)[0] == BODY
    server.files["/a"] = BODY[:50]
    (tmp_path / "data.tar.part").write_bytes(BODY)
    note = {"url": server.url + "/a", "etag": f'"{hash(BODY[:50]):x}"', "total": 200_000}
    (tmp_path / "data.tar.part.json").write_text(json.dumps(note))
    assert get(file_of(server, "/a", known=False), tmp_path)[0] == BODY[:50]
    assert "bytes=100000-" in [r for _, r, _ in server.asked]


def test_room_is_asked_for_before_the_first_byte(server, tmp_path):
    server.files["/a"] = BODY

    def none_left(n_bytes):
        raise ValueError(f"no room for {n_bytes}")

    with pytest.raises(ValueError, match="no room for 100000"):
        get(file_of(server, "/a", known=False), tmp_path, room=none_left)
    assert not (tmp_path / "data.tar.part").exists()


ENTRY = {"checksum": "md5:x", "size": 3}
LINK = "https://zenodo.org/api/records/1/files/data.tar/content"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        # until 2023, with `type`; the same without; InvenioRDM's own form; deposits
        ({"files": [{"key": "data.tar", "type": "tar", "links": {"self": LINK}, **ENTRY}]}, LINK),
        ({"files": [{"key": "data.tar", "links": {"self": LINK}, **ENTRY}]}, LINK),
        ({"files": {"entries": {"data.tar": {"links": {"self": "m", "content": LINK}}}}}, LINK),
        ({"files": [{"filename": "data.tar", "links": {"download": LINK, "self": "m"}}]}, LINK),
        ({"files": [{"key": "other.tar", "links": {"self": LINK}}]}, None),
        ({"files": [{"key": "data.tar", "links": {"self": "file:///etc/passwd"}}]}, None),
        ({"files": [{"key": "data.tar"}, None, 3]}, None),
        ({"files": None}, None),
        ([], None),
    ],
)
def test_records_of_zenodo_are_read_in_every_form(answer, expected):
    assert zenodo.address(answer, "data.tar") == expected


def test_the_record_is_asked_where_the_addresses_are_gone(server, tmp_path):
    link = {"self": f"{server.url}/moved"}
    server.files["/record"] = json.dumps({"files": [{"key": "data.tar", "links": link}]}).encode()
    server.files["/moved"] = BODY
    file = file_of(server, "/a", "/b", record=f"{server.url}/record")
    assert get(file, tmp_path)[0] == BODY
    assert [p for p, _, _ in server.asked] == ["/a", "/b", "/record", "/moved"]
    (tmp_path / "data.tar.part").unlink()
    for body, words in (
        (b"<html>", "/record: "),
        (b'{"files": []}', "/record: names no address of data.tar"),
    ):
        server.files["/record"] = body
        with pytest.raises(UnavailableError, match=words):
            get(file, tmp_path)
