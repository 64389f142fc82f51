"""Serves the application below a path of its host, where a proxy publishes it there (`API_PUBLIC_PATH`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class PublicPath:
    """The WSGI application below `root`, such as `/stems`. Proxies may remove it: paths without it are served too."""

    def __init__(self, application: WSGIApplication, root: str) -> None:
        self._application = application
        self._root = root

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle a request."""
        path = environ.get("PATH_INFO", "")
        if path == self._root or path.startswith(f"{self._root}/"):
            environ["PATH_INFO"] = path[len(self._root) :] or "/"
        # Werkzeug's own redirects begin with it.
        environ["SCRIPT_NAME"] = self._root
        return self._application(environ, start_response)
