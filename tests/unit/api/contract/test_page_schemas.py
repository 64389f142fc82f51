"""The page's types of API responses, its list of formats and its lists of file names come from the API's code.

python -m tests.unit.api.contract.test_page_schemas            writes both files; then run `npm run build`
python -m tests.unit.api.contract.test_page_schemas --check    fails if a file is out of date
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.app import create_app
from shared.audio.formats import FORMATS
from shared.audio.names import OTHER_EXTENSIONS, SYSTEM_FILES, SYSTEM_FOLDERS
from shared.settings import Settings

SOURCE = Path(__file__).parents[4] / "api" / "web" / "source" / "src"
GENERATED = SOURCE / "api" / "schemas.generated.ts"
AUDIO_FORMATS = SOURCE / "audio_formats.json"
AUDIO_NAMES = SOURCE.parents[1] / "static" / "audio_names.json"
COMMAND = "python -m tests.unit.api.contract.test_page_schemas"

ROOTS = ("JobListResource", "BatchListResource", "ItemListResource", "EnginesResource", "UploadResource")
"""The responses that the page reads; the schemas that they refer to come with them."""

PRIMITIVES = {"integer": "number", "number": "number", "string": "string", "boolean": "boolean", "null": "null"}

Schema = Mapping[str, Any]


def api_schemas() -> dict[str, Schema]:
    document: dict[str, Any] = create_app(Settings()).test_client().get("/v1/openapi.json").json
    schemas: dict[str, Schema] = document["components"]["schemas"]
    return schemas


def typescript(schemas: Mapping[str, Schema]) -> str:
    """Return a TypeScript file that declares the root schemas and all that they refer to."""
    wanted = list(ROOTS)
    for name in wanted:
        wanted += [found for found in sorted(references(schemas[name])) if found not in wanted]
    head = f"// The API's responses by its OpenAPI document. Written by `{COMMAND}`; do not edit.\n"
    return head + "".join(f"\n{declaration(name, schemas[name])}\n" for name in sorted(wanted))


def audio_formats() -> str:
    """Return the titles of the output formats, for the page."""
    return json.dumps({"formats": {f.name: f.title for f in FORMATS.values()}}, indent=2) + "\n"


def audio_names() -> str:
    """Return the lists by which the page decides which files of a dropped folder may be audio."""
    lists = {"systemFolders": SYSTEM_FOLDERS, "systemFiles": SYSTEM_FILES, "otherExtensions": OTHER_EXTENSIONS}
    return json.dumps({name: sorted(values) for name, values in lists.items()}, indent=1) + "\n"


def references(node: Any) -> set[str]:
    """Return the names of the schemas that a part of the document refers to."""
    if isinstance(node, list):
        return set().union(*map(references, node))
    if not isinstance(node, dict):
        return set()
    own = {name_of(node["$ref"])} if "$ref" in node else set()
    return own.union(*map(references, node.values()))


def name_of(reference: str) -> str:
    return reference.rpartition("/")[2]


def declaration(name: str, schema: Schema) -> str:
    if "properties" not in schema:
        return f"export type {name} = {type_of(schema)};"
    required = set(schema.get("required", ()))
    lines = []
    for field, content in schema["properties"].items():
        # Responses are serialised whole, so a field that has a default is always there.
        is_optional = field not in required and "default" not in content
        lines.append(f"  {field}{'?' if is_optional else ''}: {type_of(content)};\n")
    return f"export interface {name} {{\n{''.join(lines)}}}"


def type_of(schema: Schema) -> str:
    if "$ref" in schema:
        return name_of(schema["$ref"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(type_of(choice) for choice in schema["anyOf"]))
    if schema.get("type") == "array":
        return f"({type_of(schema['items'])})[]" if "anyOf" in schema["items"] else f"{type_of(schema['items'])}[]"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return f"Record<string, {type_of(values) if isinstance(values, dict) else 'unknown'}>"
    return PRIMITIVES.get(schema.get("type", ""), "unknown")


def test_the_pages_types_are_those_of_the_document() -> None:
    assert GENERATED.read_text() == typescript(api_schemas()), f"`{COMMAND}` writes them anew; then `npm run check`"


def test_the_page_has_the_same_lists_as_the_server() -> None:
    assert AUDIO_FORMATS.read_text() == audio_formats(), f"`{COMMAND}` writes it anew; then `npm run build`"
    assert AUDIO_NAMES.read_text() == audio_names(), f"`{COMMAND}` writes it anew"


def test_a_field_that_is_renamed_in_the_api_is_renamed_in_the_types() -> None:
    schemas = api_schemas()
    properties = dict(schemas["JobResource"]["properties"])
    properties["estimate_seconds"] = properties.pop("eta_seconds")
    changed = typescript(schemas | {"JobResource": {**schemas["JobResource"], "properties": properties}})
    assert "eta_seconds" in typescript(schemas)
    assert "eta_seconds" not in changed
    assert "estimate_seconds?: number | null;" in changed


if __name__ == "__main__":
    files = {GENERATED: typescript(api_schemas()), AUDIO_FORMATS: audio_formats(), AUDIO_NAMES: audio_names()}
    for file, current in files.items():
        if "--check" not in sys.argv:
            file.write_text(current)
        elif file.read_text() != current:
            sys.exit(f"{file.name} is not what the API's code says: {COMMAND}")
