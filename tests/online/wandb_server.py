"""What stands in for wandb's server: it takes runs and rows, keeps them, and can fall silent.

The queries are those that wandb 0.29 to 0.31 send for a run; the answers have what it reads.
"""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Runs in this process.

    Attributes:
        url: where it listens.
        runs: id -> the run's group, tags, summary and rows, each under its place in the history.
        silent: set: it takes connections and answers nothing.
    """

    def __init__(self):
        self.runs, self.silent, self.over = {}, threading.Event(), threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if server.silent.is_set():
                    server.over.wait()
                    return
                answer = {}
                if self.path.endswith(("/graphql", "/file_stream")):
                    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
                    answer = server.answer(self.path.split("/"), json.loads(data))
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST  # noqa: N815

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.over.set()
        self.http.shutdown()
        self.http.server_close()

    def answer(self, path, asked):
        """To one request."""
        if path[-1] == "file_stream":
            self.take(self.runs[path[-2]], asked.get("files") or {})
            return {}
        query, values = asked["query"], asked.get("variables") or {}
        if "RunResumeStatus" in query:
            return {"data": {"model": {"id": "m", "name": "p", "bucket": self.known(values)}}}
        if "UpsertBucket" in query:
            new = values["name"] not in self.runs
            run = self.runs.setdefault(values["name"], {"rows": {}, "summary": {}})
            for key in ("groupName", "tags"):
                if values.get(key) is not None:
                    run[key] = values[key]
            bucket = self.known(values) | {"project": PROJECT}
            return {"data": {"upsertBucket": {"bucket": bucket, "inserted": new}}}
        if "Viewer" in query:
            viewer = {"id": "u", "entity": "me", "username": "me", "flags": "{}"}
            return {"data": {"viewer": viewer | {"teams": {"edges": []}}}}
        return {"errors": [{"message": "not known here"}]}

    def take(self, run, files):
        """Rows at their places, and the summary."""
        if history := files.get("wandb-history.jsonl"):
            rows = map(json.loads, history["content"])
            run["rows"] |= dict(enumerate(rows, history["offset"]))
        if summary := files.get("wandb-summary.json"):
            run["summary"] = json.loads(summary["content"][-1])

    def known(self, values):
        """Of a run, what one that goes on is told; None of one that is not known."""
        run = self.runs.get(values["name"])
        if run is None:
            return None
        rows = [json.dumps(row) for _, row in sorted(run["rows"].items())]
        return {
            "id": "x",
            "name": values["name"],
            "displayName": values["name"],
            "sweepName": None,
            "historyLineCount": len(rows),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps(rows[-1:]),
            "eventsTail": "[]",
            "summaryMetrics": json.dumps(run["summary"]),
            "config": "{}",
            "tags": run.get("tags") or [],
            "wandbConfig": '{"t": 1}',
        }


PROJECT = {"id": "m", "name": "p", "entity": {"id": "e", "name": "me"}}
