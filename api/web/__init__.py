"""The page: submits, lists, plays. It is a client of the API like any other; owns no state.

Everything it loads comes from this server, and no script or style stands in its HTML: the policy forbids both.
What is in static/ is built from source/ and committed, so that nobody needs node to run it.
"""

from __future__ import annotations

from flask import Blueprint, Response, render_template, send_from_directory

blueprint = Blueprint("web", __name__, template_folder="templates", static_folder=None)

STATIC = f"{__path__[0]}/static"


@blueprint.get("/")
@blueprint.get("/jobs/<address>")
@blueprint.get("/batches")
@blueprint.get("/batches/<address>")
def page(address: str | None = None) -> str:
    """Show the page. The script reads the address: a job's or a batch's own is the same document."""
    del address
    return render_template("index.html")


@blueprint.get("/static/<path:name>")
def static_file(name: str) -> Response:
    """Send one of the page's files."""
    response = send_from_directory(STATIC, name)
    response.headers["Cache-Control"] = "no-cache"
    return response
