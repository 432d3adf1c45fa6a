"""A local HTTP server that fails in the ways real ones do, and archives for it to serve."""

from __future__ import annotations

import gzip
import io
import tarfile
import threading
import zipfile
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Step:
    """How one request is answered.

    Args:
        status: instead of 200 or 206; 0: as usual.
        headers: besides the usual ones; None as a value leaves one out.
        cut: bytes of the body after which the connection ends.
        ranges: whether Range is understood.
        conditions: whether If-Range is understood.
        chunked: no Content-Length.
        body: instead of the file.
    """

    def __init__(
        self,
        status=0,
        headers=None,
        *,
        cut=None,
        ranges=True,
        conditions=True,
        chunked=False,
        body=None,
    ):
        self.status, self.headers, self.cut = status, headers or {}, cut
        self.ranges, self.conditions, self.chunked, self.body = ranges, conditions, chunked, body


class Server:
    """Serves ``files`` (path -> bytes); ``plan`` (path -> steps) says how the next requests fail.

    Attributes:
        asked: (path, Range or None, If-Range or None) of each request.
        sent: bytes of bodies that were sent.
    """

    def __init__(self):
        self.files, self.plan, self.always, self.asked, self.sent = {}, {}, {}, [], 0
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def step(self, path):
        steps = self.plan.get(path)
        return steps.pop(0) if steps else self.always.get(path, Step())

    def handler(server):  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                self.close_connection = True
                path = self.path.partition("?")[0]
                wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
                server.asked.append((path, wanted, condition))
                step = server.step(path)
                body = server.files.get(path) if step.body is None else step.body
                status = step.status or (200 if body is not None else 404)
                body = b"no" if body is None or status >= 400 else body
                etag = f'"{hash(body):x}"'
                headers = {"ETag": etag, "Content-Type": "application/octet-stream"}
                first = 0
                same = condition in (None, etag, step.headers.get("ETag"))
                if wanted and step.ranges and status == 200 and (same or not step.conditions):
                    first = int(wanted.removeprefix("bytes=").rstrip("-"))
                    status = 206 if first < len(body) else 416
                    headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
                rest = body[first:]
                if step.chunked:
                    headers["Transfer-Encoding"] = "chunked"
                else:
                    headers["Content-Length"] = str(len(rest))
                headers |= step.headers
                self.send_response(status)
                for key, value in headers.items():
                    if value is not None:
                        self.send_header(key, value)
                self.end_headers()
                sent = rest if step.cut is None else rest[: step.cut]
                server.sent += len(sent)
                with suppress(OSError):
                    if step.chunked:
                        self.wfile.write(f"{len(sent):x}\r\n".encode() + sent + b"\r\n")
                        if step.cut is None:
                            self.wfile.write(b"0\r\n\r\n")
                    else:
                        self.wfile.write(sent)

        return Handler


def tar(members, compressed=False):
    """A tar archive of path -> bytes, or of ready ``TarInfo``s with their bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members if isinstance(members, list) else members.items():
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if not info.linkname and info.isreg():
                info.size = info.size or len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0) if compressed else out.getvalue()


def zipped(members):
    """A zip archive of path -> bytes, or of ready ``ZipInfo``s with their bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members if isinstance(members, list) else members.items():
            archive.writestr(name, content)
    return out.getvalue()
