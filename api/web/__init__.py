"""The web page, a client of the API like any other: upload songs, list jobs, play stems.

The page loads everything from this server. Its HTML contains no script and no style, because the content security
policy forbids both. The files in static/ are built from source/ and committed, so that nobody needs node to run
the page.
"""

from __future__ import annotations

from flask import Blueprint, Response, render_template, request, send_from_directory

blueprint = Blueprint("web", __name__, template_folder="templates", static_folder=None)

STATIC = f"{__path__[0]}/static"


def link_base() -> str:
    """Return what links in a document begin with.

    If the setting API_PUBLIC_PATH does not say below which path a proxy publishes the server, links are relative.
    """
    if request.script_root:
        return f"{request.script_root}/"
    return "../" * (request.path.count("/") - 1) or "./"


@blueprint.get("/")
@blueprint.get("/jobs/<address>")
@blueprint.get("/batches")
@blueprint.get("/batches/<address>")
def page(address: str | None = None) -> str:
    """Send the page. Its script reads the URL, so every job and every batch has the same document."""
    del address
    return render_template("index.html", base=link_base())


@blueprint.get("/static/<path:name>")
def static_file(name: str) -> Response:
    """Send one of the page's files."""
    response = send_from_directory(STATIC, name)
    response.headers["Cache-Control"] = "no-cache"
    return response
