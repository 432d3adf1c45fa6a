"""Where a file is, from what Zenodo says about a record."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

ADDRESSES = ("content", "download", "self")  # the last one was the content's until late 2023


def address(answer: Any, name: str) -> str | None:
    """The address of a file in a record's answer; None where there is none that can be read.

    Read are: ``files`` as a list, and as a mapping with ``entries``; names under ``key`` and
    ``filename``, or as the key of the mapping. No other field is asked for: ``type``, which older
    readers relied on, went away.

    Args:
        answer: the parsed JSON of ``/api/records/<number>``.
        name: of the file.
    """
    files = answer.get("files") if isinstance(answer, dict) else None
    if isinstance(files, dict):
        entries = files.get("entries", files)
        files = (
            [{"key": key, **own} for key, own in entries.items() if isinstance(own, dict)]
            if isinstance(entries, dict)
            else entries
        )
    for file in files if isinstance(files, list) else []:
        if isinstance(file, dict) and name in (file.get("key"), file.get("filename")):
            links = file.get("links")
            known = links if isinstance(links, dict) else {}
            for link in map(known.get, ADDRESSES):
                if isinstance(link, str) and urlsplit(link).scheme in ("http", "https"):
                    return link
    return None
