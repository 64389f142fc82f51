"""The page: submits, lists, plays. It is a client of the API like any other; owns no state.

Everything it loads comes from this server, and no script or style stands in its HTML: the policy forbids both.
"""

from __future__ import annotations

from flask import Blueprint, Response, render_template, send_from_directory

blueprint = Blueprint("web", __name__, template_folder="templates", static_folder=None)

STATIC = f"{__path__[0]}/static"


@blueprint.get("/")
def page() -> str:
    """Show the page."""
    return render_template("index.html")


@blueprint.get("/static/<path:name>")
def static_file(name: str) -> Response:
    """Send one of the page's files."""
    response = send_from_directory(STATIC, name)
    response.headers["Cache-Control"] = "no-cache"
    return response
