"""One file over HTTP: from several addresses, taken up again where it was cut, checked.

What has come lies in a part of the file (`ctta.data.part`).
"""

from __future__ import annotations

import email.utils
import hashlib
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ctta import __version__
from ctta.data import zenodo
from ctta.data.catalogue import File
from ctta.data.part import discard, keep_note, length, noted, writing
from ctta.data.watch import Watch

ATTEMPTS: Final = 5  # at one address without a byte more than ever before
LONGEST_WAIT: Final = 300.0  # seconds that a server may ask for
TIMEOUT: Final = 60.0
CHUNK: Final = 1 << 20
LONGEST_ANSWER: Final = 16 << 20  # of a record
BUSY: Final = (408, 425, 429, 500, 502, 503, 504)

Room = Callable[[int], None]


class RefusedError(Exception):
    """This address does not give the file."""


class DamagedError(RefusedError):
    """What this address gave is another content than the published one."""


class CutError(Exception):
    """It may work later.

    Args:
        reason: in words.
        after: seconds that the server asks for.
    """

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class RangeError(CutError):
    """The server has no such part of the content."""


class UnavailableError(ValueError):
    """No address gives the file."""


def fetch(
    file: File, part: Path, *, watch: Watch, room: Room, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Get ``file`` as ``part``, whole and with its published size and checksums.

    Args:
        file: of the catalogue.
        part: where to put it; what is there already is taken up.
        watch: is told how far it is.
        room: is called with the bytes that a content whose size only the server knows will take,
            before the first of them; raises where they have no room.
        sleep: waits so many seconds.

    Raises:
        UnavailableError: no address gives it; the message has the reason of each.
        ValueError: it cannot be written; what came is kept.
    """
    reasons: list[str] = []
    for url in addresses(file, watch, reasons):
        for _ in range(2):
            resumed = length(part) > 0
            try:
                from_address(url, file, part, watch=watch, room=room, sleep=sleep)
                checked(file, part, watch)
                return
            except DamagedError as error:
                discard(part)
                reasons.append(f"{url}: {error}")
                if not resumed:  # else once more from the front: the pieces may not belong together
                    break
            except RefusedError as error:
                reasons.append(f"{url}: {error}")
                break
        watch.say(f"{file.name}: {reasons[-1]}")
    raise UnavailableError(f"{file.name}: no address gives it ({'; '.join(reasons)})")


def addresses(file: File, watch: Watch, reasons: list[str]) -> Iterator[str]:
    """Those of the catalogue, then the one that the Zenodo record names, asked for only then."""
    yield from file.urls
    if file.record is None:
        return
    try:
        with opened(file.record, {}) as response:
            found = zenodo.address(json.loads(response.read(LONGEST_ANSWER)), file.name)
    except (RefusedError, CutError, OSError, HTTPException, ValueError) as error:
        reasons.append(f"{file.record}: {in_words(error)}")
        return
    if found is None:
        reasons.append(f"{file.record}: names no address of {file.name}")
    elif found not in file.urls:
        watch.say(f"{file.name}: its record names {found}")
        yield found


def from_address(
    url: str,
    file: File,
    part: Path,
    *,
    watch: Watch,
    room: Room,
    sleep: Callable[[float], None],
) -> None:
    """Get the whole file from one address; waits and asks again while that may help.

    Raises:
        RefusedError: it does not.
        ValueError: it cannot be written.
    """
    best, failures = length(part), 0
    while True:
        try:
            return attempt(url, file, part, watch=watch, room=room)
        except CutError as error:
            if length(part) > best:
                best, failures = length(part), 0
            failures += 1
            if failures == ATTEMPTS:
                raise RefusedError(f"{error}, {ATTEMPTS} times") from None
            if error.after > LONGEST_WAIT:
                raise RefusedError(f"{error}, and asks to wait {error.after:.0f} s") from None
            wait = max(2.0 ** (failures - 1), error.after)
            watch.say(f"{file.name}: {error}; asked again in {wait:.0f} s")
            sleep(wait)


def attempt(url: str, file: File, part: Path, *, watch: Watch, room: Room) -> None:
    """One request, for what is not there yet.

    Raises:
        CutError: it did not come to an end, or the server is busy.
        RefusedError: the server has no such file, or another one.
        ValueError: it cannot be written.
    """
    have = length(part)
    size = file.size or (noted(part) or {}).get("total")
    if have and have == size:
        return
    headers = resuming(url, file, part)
    if not headers:
        have = discard(part)
    try:
        with opened(url, headers) as response:
            total = total_of(response, have)
            note = {
                "url": url,
                "etag": response.headers.get("ETag"),
                "modified": response.headers.get("Last-Modified"),
                "total": total,
            }
            if response.status == HTTPStatus.PARTIAL_CONTENT:
                same_content(note, part, have, response)
            else:  # the whole: the server takes no ranges, or has another content now
                have = discard(part)
            refuse_others(file, total, response)
            if file.size is None and total is not None:
                room(total - have)
            keep_note(part, note)
            watch.begin(f"{file.name} from {urlsplit(url).hostname}", have, total)
            copy(response, part, watch, file.size)
    except RangeError:
        discard(part)
        raise
    except (OSError, HTTPException) as error:
        raise CutError(in_words(error)) from None
    total = total if file.size is None else file.size
    if total is not None and length(part) != total:
        raise CutError(f"the connection was cut at {length(part)} of {total} bytes")


def opened(url: str, headers: dict[str, str]) -> HTTPResponse:
    """The answer to a request.

    Raises:
        CutError: the server is busy.
        RefusedError: it answers with another error, or sends from https on to something else.
        OSError: it cannot be reached.
    """
    own = {"User-Agent": f"ctta/{__version__}", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers=own | headers)
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        reason = f"the server answers {error.code} {error.reason}".rstrip()
        if error.code in BUSY:
            after = retry_after(error.headers.get("Retry-After"))
            raise CutError(reason, after) from None
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise RangeError(reason) from None
        raise RefusedError(reason) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise RefusedError(in_words(error)) from None
        raise
    if url.startswith("https:") and not response.url.startswith("https:"):
        response.close()
        raise RefusedError(f"it sends on to {response.url}, which is not https")
    return response


def retry_after(value: str | None) -> float:
    """Seconds from now that a Retry-After header asks for; 0 where it asks for nothing readable."""
    if value is None:
        return 0.0
    if value.strip().isdecimal():
        return float(value)
    try:
        then = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def resuming(url: str, file: File, part: Path) -> dict[str, str]:
    """The headers that ask for the rest of what is in ``part``; empty: it must come from the front.

    The rest is asked for under the condition that the content is still the same. Where the server
    gave nothing to tell that by, or another server began, only published checksums allow it.
    """
    have, note = length(part), noted(part)
    if not have or note is None:
        return {}
    rest = {"Range": f"bytes={have}-"}
    etag, modified = note.get("etag"), note.get("modified")
    if note.get("url") == url and etag and not etag.startswith("W/"):
        return rest | {"If-Range": etag}
    if note.get("url") == url and modified:
        return rest | {"If-Range": modified}
    return rest if file.checksums and file.size is not None else {}


def total_of(response: HTTPResponse, have: int) -> int | None:
    """Bytes of the whole content; None where the server does not tell.

    Raises:
        CutError: a range was asked for, and another one comes.
    """
    if response.status != HTTPStatus.PARTIAL_CONTENT:
        declared = response.headers.get("Content-Length", "")
        return int(declared) if declared.isdecimal() else None
    span, _, total = response.headers.get("Content-Range", "").partition("/")
    if not span.startswith(f"bytes {have}-"):
        raise CutError(f"the server gives {span or 'an unnamed range'} instead of the rest")
    return int(total) if total.isdecimal() else None


def same_content(note: dict[str, Any], part: Path, have: int, response: HTTPResponse) -> None:
    """Give up what came so far where the rest is of another content, whatever the server says.

    Raises:
        CutError: it is.
    """
    before = noted(part) or {}
    compared = ["total"]
    if before.get("url") == note["url"]:
        compared += ["etag", "modified"]
    if any(before.get(k) and note[k] and before[k] != note[k] for k in compared):
        discard(part)
        raise CutError(f"the content changed on the server after {have} bytes")


def refuse_others(file: File, total: int | None, response: HTTPResponse) -> None:
    """Refuse what cannot be the file by its size or kind, before its first byte.

    Raises:
        RefusedError: it cannot.
    """
    if total is not None and file.size is not None and total != file.size:
        raise RefusedError(f"expected {file.size} bytes, the server has {total}")
    if response.headers.get_content_type() == "text/html":
        raise RefusedError("the server gives a page and no file")


def copy(response: HTTPResponse, part: Path, watch: Watch, size: int | None) -> None:
    """Append what comes to ``part``.

    Raises:
        RefusedError: more comes than the file has.
        ValueError: it cannot be written.
    """
    done = length(part)
    while chunk := response.read1(CHUNK):
        if size is not None and done + len(chunk) > size:
            discard(part)
            raise RefusedError(f"expected {size} bytes, the server gives more")
        with writing(part), part.open("ab") as file:
            file.write(chunk)
        done += len(chunk)
        watch.advance(len(chunk))


def checked(file: File, path: Path, watch: Watch) -> None:
    """Compare a whole file with what is published of it.

    Raises:
        DamagedError: size or checksum differ.
    """
    size = length(path)
    if file.size is not None and size != file.size:
        raise DamagedError(f"expected {file.size} bytes, got {size}")
    digests = {algorithm: hashlib.new(algorithm) for algorithm in file.checksums}
    if not digests:
        return
    watch.begin(f"checking {file.name}", 0, size)
    with path.open("rb") as content:
        while chunk := content.read(CHUNK):
            for digest in digests.values():
                digest.update(chunk)
            watch.advance(len(chunk))
    for algorithm, expected in file.checksums.items():
        found = digests[algorithm].hexdigest()
        if found != expected:
            raise DamagedError(f"expected {algorithm} {expected}, got {found}")


def in_words(error: BaseException) -> str:
    """The error's text in one line; its type where it has none."""
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, OSError) and reason.errno and reason.strerror:
        reason = os.strerror(reason.errno) if reason.errno > 0 else reason.strerror
    return " ".join(str(reason).split()) or type(error).__name__
