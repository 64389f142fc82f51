"""The least that a Flask route on Redis can be: what polling is measured against."""

from __future__ import annotations

from types import SimpleNamespace

from flask import Flask, Response

from api.services import EXTENSION
from shared.redis_client.connection import connect
from shared.settings import Settings

app = Flask(__name__, static_folder=None)
# The server's settings are the API's; they end its event streams and start its webhooks, of which there are none here.
app.extensions[EXTENSION] = SimpleNamespace(
    changes=SimpleNamespace(end_when=lambda _: None), webhooks=SimpleNamespace(start_threads=lambda _: None)
)
redis = connect(Settings())


@app.get("/bare")
def bare() -> Response:
    """Read one key."""
    return Response(str(redis.get("bare")), content_type="application/json")
