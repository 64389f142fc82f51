"""The WSGI application that gunicorn serves: `gunicorn -c python:api.server.gunicorn_conf api.wsgi:app`."""

from __future__ import annotations

from api.app import create_app
from shared.logs import configure_logging
from shared.settings import read_settings

settings = read_settings("api")
configure_logging(settings, "api")
app = create_app(settings)
