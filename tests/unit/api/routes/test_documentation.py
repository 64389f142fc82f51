"""The API's documentation as pages: Swagger UI comes from this server, with its licences."""

from __future__ import annotations

import re
from importlib import metadata
from urllib.parse import urljoin

import pytest

from api.app import create_app
from shared.settings import Settings


def test_the_page_loads_only_files_that_this_server_has() -> None:
    client = create_app(Settings()).test_client()
    page = client.get("/docs")
    loaded = [urljoin("/docs", link) for link in re.findall(r'(?:src|href)="([^"]+)"', page.text)]
    assert {"/docs/js/swagger-ui-bundle.js", "/docs/css/swagger-ui.css"} <= set(loaded)
    assert [path for path in loaded if client.get(path).status_code != 200] == []


@pytest.mark.parametrize("name", ["LICENSE", "NOTICE", "js/swagger-ui-bundle.js.LICENSE.txt"])
def test_its_licences_come_with_it(name: str) -> None:
    assert create_app(Settings()).test_client().get(f"/docs/{name}").status_code == 200


def test_nothing_requires_what_was_replaced() -> None:
    required = " ".join(metadata.requires("stemqueue") or ())
    assert not re.search(r"flask-openapi3|\bhttpx\b|\bhttpcore\b", required)
