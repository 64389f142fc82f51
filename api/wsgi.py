"""The WSGI application that gunicorn serves: `gunicorn -c python:api.server.gunicorn_conf api.wsgi:app`."""

from __future__ import annotations

from api.app import create_app
from shared.logs import configure_logging
from shared.settings import read_settings
from shared.telemetry import set_up

settings = read_settings("api")
# gunicorn imports this module in each of its processes, so traces begin after the fork.
configure_logging(settings, "api", set_up.start(settings, "api"))
app = create_app(settings)
