"""A local stand-in for W&B: answers the HTTP requests of `wandb sync` (0.31) and keeps what it received.

It implements the calls of wandb-core for a run: the GraphQL mutations UpsertBucket and CreateRunFiles, the file stream
(history lines by offset), uploads of single files, and telemetry, which is discarded.
"""

import base64
import gzip
import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "local-0123456789abcdef0123456789abcdef01234567"


class WandbServer(ThreadingHTTPServer):
    """The server: what it received by run id, and what it refuses."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[str] = []  # requests without telemetry
        self.configs: dict[str, dict[str, Any]] = {}
        self.lines: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)  # run -> offset -> history row
        self.files: dict[str, set[str]] = defaultdict(set)
        self.ended: dict[str, int] = {}  # run -> exit code
        self.refused = ""  # pattern of calls that are answered with `status` and `words`
        self.status, self.words = 500, ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def rows(self) -> list[dict[str, Any]]:
        """Return every history row, run by run."""
        return [lines[offset] for lines in self.lines.values() for offset in sorted(lines)]


@contextmanager
def serving() -> Iterator[WandbServer]:
    with WandbServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    server: WandbServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionResetError:  # wandb-core closes its connections at the end
            self.close_connection = True

    def answer(self) -> None:
        body = self._body()
        if self.path.startswith("/sdk/otel/"):
            self._send(200, {})
            return
        call = json.loads(body)["operationName"] if self.path == "/graphql" else f"{self.command} {self.path}"
        self.server.calls.append(call)
        if not self._is_authorized():
            self._send(401, {"errors": [{"message": "user is not logged in"}]})
        elif self.server.refused and re.search(self.server.refused, call):
            self._send(self.server.status, {"errors": [{"message": self.server.words}]})
        else:
            self._send(200, self._take(call, body))

    do_GET = do_POST = do_PUT = answer

    def _is_authorized(self) -> bool:
        """Return whether the login is right; uploads need none, as with W&B's signed URLs."""
        login = base64.b64encode(f"api:{KEY}".encode()).decode()
        return self.path.startswith("/upload/") or self.headers["Authorization"] == f"Basic {login}"

    def _take(self, call: str, body: bytes) -> dict[str, Any]:
        if call == "UpsertBucket":
            return {"data": {"upsertBucket": self._upsert(json.loads(body)["variables"])}}
        if call == "CreateRunFiles":
            return {"data": {"createRunFiles": self._create(json.loads(body)["variables"])}}
        if call.endswith("/file_stream"):
            return self._stream(self.path.split("/")[-2], json.loads(body))
        if call.startswith("PUT /upload/"):
            run, name = self.path.split("/", 3)[2:]
            self.server.files[run].add(name)
            return {}
        return {"errors": [{"message": f"unknown call {call}"}]}

    def _upsert(self, variables: dict[str, Any]) -> dict[str, Any]:
        is_new = variables["name"] not in self.server.configs
        self.server.configs[variables["name"]] = json.loads(variables["config"] or "{}")
        project = {"id": "p", "name": variables["project"], "entity": {"id": "e", "name": "me"}}
        bucket = {name: variables[name] for name in ("name", "displayName", "description", "config")}
        bucket |= {"id": "b", "sweepName": None, "project": project, "historyLineCount": None}
        return {"bucket": bucket, "inserted": is_new}

    def _create(self, variables: dict[str, Any]) -> dict[str, Any]:
        address = f"{self.server.url}/upload/{variables['run']}"
        files = [{"name": name, "uploadUrl": f"{address}/{name}"} for name in variables["files"]]
        return {"runID": "b", "uploadHeaders": [], "files": files}

    def _stream(self, run: str, sent: dict[str, Any]) -> dict[str, Any]:
        history = sent.get("files", {}).get("wandb-history.jsonl", {"offset": 0, "content": []})
        for offset, line in enumerate(history["content"], history["offset"]):
            self.server.lines[run][offset] = json.loads(line)
        if sent.get("complete"):
            self.server.ended[run] = sent["exitcode"]
        return {"exitcode": None, "limits": {}}

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _send(self, status: int, tree: dict[str, Any]) -> None:
        body = json.dumps(tree).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
