"""The OpenAPI document, and a page that shows it with Swagger UI and loads nothing from other hosts."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from flask import Blueprint, Flask, Response, current_app, render_template, request, send_from_directory

from api import web
from api.contract.openapi import document

blueprint = Blueprint("documentation", __name__, template_folder="../web/templates")

SWAGGER = Path(__file__).parents[1] / "web" / "static" / "swagger-ui"


@blueprint.get("/v1/openapi.json")
def openapi() -> Response:
    """Return the OpenAPI document."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    return Response(_document(app, request.script_root), content_type="application/json")


@blueprint.get("/docs")
def docs() -> str:
    """Show the document with Swagger UI."""
    return render_template("docs.html", base=web.link_base())


@blueprint.get("/docs/<path:name>")
def docs_file(name: str) -> Response:
    """Send a file of Swagger UI. The page's build copies it from its npm package."""
    response = send_from_directory(SWAGGER, name)
    response.headers["Cache-Control"] = "public, max-age=86400"
    return response


@lru_cache(maxsize=4)
def _document(app: Flask, root: str) -> str:
    return json.dumps(document(app, _version(), root), indent=1)


def _version() -> str:
    try:
        return metadata.version("stemqueue")
    except metadata.PackageNotFoundError:
        # The code runs from a checkout without being installed.
        return "0"
