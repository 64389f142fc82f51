"""Creates the Flask application and connects its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask

from api import web
from api.access.authentication import register_authentication
from api.access.host_and_origin import register_host_and_origin
from api.access.open_calls import register_open_calls
from api.access.rate_limits import register_rate_limits
from api.access.security_headers import SecurityHeaders
from api.contract.problem_details import register_problems
from api.monitoring.request_log import register_request_log
from api.monitoring.request_trace import register_request_trace
from api.public_path import PublicPath
from api.request_bodies.unread_bodies import register_unread_bodies
from api.routes import batches, documentation, events, jobs, outputs, server, uploads
from api.services import install, make_services
from shared.settings import Settings


class Application(Flask):
    """Flask without its check for coroutine functions, which costs time in each request. There are none here."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function unchanged."""
        return func


def create_app(settings: Settings) -> Flask:
    """Return the application. It opens no connections yet, so it starts even if Redis is unavailable."""
    app = Application("api", static_folder=None, template_folder=None)
    # A trailing slash makes no difference.
    app.url_map.strict_slashes = False
    services = make_services(settings)
    install(app, services)
    register_request_log(app)
    register_request_trace(app)
    register_host_and_origin(app, settings)
    register_authentication(app, settings, services.keys)
    register_rate_limits(app, services.rate_limits)
    register_open_calls(app, services.open_calls)
    register_problems(app)
    register_unread_bodies(app)
    app.wsgi_app = SecurityHeaders(app.wsgi_app, settings)  # type: ignore[method-assign]
    if settings.api_public_path:
        app.wsgi_app = PublicPath(app.wsgi_app, settings.api_public_path)  # type: ignore[method-assign]
    for module in (jobs, batches, events, outputs, uploads, server, documentation, web):
        app.register_blueprint(module.blueprint)
    return app
