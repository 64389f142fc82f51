"""A client's server that receives webhooks, and notes what each told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """The types of the messages that came, by the id of their job or batch."""

    url: str = ""
    got: dict[str, set[str]] = field(default_factory=dict)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Serve it on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.got.setdefault(message["data"]["id"], set()).add(message["type"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        yield receiver
        server.shutdown()
