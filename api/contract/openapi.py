"""Builds the OpenAPI 3.1 document from the routes and the pydantic models that they use.

flask-openapi3 is not used: it builds a schema again for each request with a query, reads whole forms into memory, and
allows only one body type per operation.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import Any, TypeVar

from flask import Flask
from pydantic import BaseModel, Field
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api.contract.examples.problems import example_problem
from api.contract.problem_details import MEDIA_TYPE
from api.contract.resource import Resource

F = TypeVar("F", bound=Callable[..., Any])

ATTRIBUTE = "openapi_operation"

ALWAYS = (403, 500)
"""Error statuses of every operation."""

WITH_KEY = (401, 429, 503)
"""Error statuses of every operation that authenticates its caller and counts the request."""

SECURITY_SCHEME = {"type": "http", "scheme": "bearer", "description": "An API key, if the server requires one"}

TEXTS: Mapping[str, Mapping[str, str]] = {
    "application/json": {},
    "application/jsonl": {"type": "string"},
    "text/csv": {"type": "string"},
    "text/event-stream": {},
}
"""The schemas of media types that are not binary files."""

BINARY = {"type": "string", "format": "binary"}

INTRODUCTION = """\
Separates songs into vocals and accompaniment. `POST /v1/jobs` accepts a file and responds at once with a job. Poll the
job or wait for it, then download its stems. Errors are problem details (RFC 9457) with a stable `code`.
"""


class FieldProblem(Resource):
    """An error in one field of the request."""

    field: str
    message: str
    allowed: Any = Field(None, description="The allowed values, if they can be listed")


class Problem(Resource):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable: programs can rely on it")
    request_id: str | None = Field(description="The request's id in X-Request-ID and in the server's logs")
    errors: list[FieldProblem] = Field([], description="With 422: the invalid fields")


@dataclass(frozen=True)
class Operation:
    """What the document says about an operation, besides the docstring of its view.

    `bodies` are models by media type, `answers` models by status. `media_in` and `media` are bodies without a model,
    `empty` lists statuses without a body. `examples` are those of answers by status, if the model's own does not apply,
    and of text in `media` by media type. `conditional` operations accept If-None-Match, `repeatable` ones
    Idempotency-Key, those with `waits` Prefer. Operations `open_to_all` need no API key.
    """

    summary: str
    tag: str
    query: type[BaseModel] | None = None
    bodies: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    media_in: tuple[str, ...] = ()
    answers: Mapping[int, type[BaseModel]] = field(default_factory=dict)
    media: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    examples: Mapping[int | str, Any] = field(default_factory=dict)
    empty: tuple[int, ...] = ()
    problems: tuple[int, ...] = ()
    conditional: bool = False
    repeatable: bool = False
    waits: bool = False
    open_to_all: bool = False

    def needed_scope(self, method: str) -> str | None:
        """Return the scope that an API key needs for this operation; None if no key is needed."""
        if self.open_to_all:
            return None
        return "read" if method.upper() in {"GET", "HEAD"} else "submit"


def describes(operation: Operation) -> Callable[[F], F]:
    """Attach an operation's description to its view."""

    def mark(view: F) -> F:
        setattr(view, ATTRIBUTE, operation)
        return view

    return mark


def document(app: Flask, version: str, root: str = "") -> dict[str, Any]:
    """Return the OpenAPI document of the application's routes that have a description.

    `root` is the path below which the API is published.
    """
    paths: dict[str, dict[str, Any]] = {}
    models: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(Problem, "serialization"): None}
    for path, method, arguments, view in _described(app):
        operation: Operation = getattr(view, ATTRIBUTE)
        models.update(dict.fromkeys([(m, "validation") for m in operation.bodies.values()]))
        models.update(dict.fromkeys([(m, "serialization") for m in operation.answers.values()]))
        paths.setdefault(path, {})[method] = _operation(operation, path, method, arguments, view)
    _, schemas = _schemas(tuple(models))
    return {
        "openapi": "3.1.0",
        "info": {"title": "stemqueue", "version": version, "description": INTRODUCTION},
        "servers": [{"url": root or "/"}],
        "paths": paths,
        "components": {"schemas": schemas["$defs"], "securitySchemes": {"key": SECURITY_SCHEME}},
    }


def _described(app: Flask) -> Iterator[tuple[str, str, set[str], Callable[..., Any]]]:
    for rule in sorted(app.url_map.iter_rules(), key=lambda r: r.rule):
        view = app.view_functions[rule.endpoint]
        if hasattr(view, ATTRIBUTE):
            path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield path, method.lower(), set(re.findall(r"{(.+?)}", path)), view


def _operation(
    operation: Operation, path: str, method: str, arguments: set[str], view: Callable[..., Any]
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(method, path),
        "summary": operation.summary,
        "description": inspect.getdoc(view) or "",
        "tags": [operation.tag],
        "parameters": [*_path_parameters(arguments), *_query_parameters(operation), *_headers(operation)],
        "responses": _responses(operation),
    }
    if scope := operation.needed_scope(method):
        # The empty alternative: a server on loopback requires no key.
        described["security"] = [{"key": [scope]}, {}]
    content: dict[str, Any] = {m: {"schema": _reference(model, "validation")} for m, model in operation.bodies.items()}
    content.update({m: {"schema": BINARY} for m in operation.media_in})
    if content:
        described["requestBody"] = {"required": True, "content": content}
    return described


def _responses(operation: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, model in operation.answers.items():
        schema, example = _reference(model, "serialization"), operation.examples.get(status)
        responses[str(status)] = _answer(
            status, {"application/json": schema}, {"application/json": example} if example else {}
        )
    for status, kinds in operation.media.items():
        files = {kind: TEXTS.get(kind, BINARY) for kind in kinds}
        responses[str(status)] = _answer(status, files, operation.examples)
    for status in operation.empty:
        responses[str(status)] = _answer(status, {})
    always = (*ALWAYS, *(() if operation.open_to_all else WITH_KEY), *((409, 422) if operation.repeatable else ()))
    for status in (*operation.problems, *always):
        content = {MEDIA_TYPE: _reference(Problem, "serialization")}
        responses.setdefault(
            str(status), _answer(status, content, {MEDIA_TYPE: example_problem(status, operation.tag)})
        )
    return dict(sorted(responses.items()))


def _answer(status: int, content: Mapping[str, Any], examples: Mapping[Any, Any] | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if content:
        answer["content"] = {
            kind: {"schema": schema, **({"example": examples[kind]} if examples and kind in examples else {})}
            for kind, schema in content.items()
        }
    return answer


def _path_parameters(arguments: set[str]) -> list[dict[str, Any]]:
    return [{"name": a, "in": "path", "required": True, "schema": {"type": "string"}} for a in sorted(arguments)]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema()
    parameters = []
    for name, described in schema["properties"].items():
        alternatives = [s for s in described.get("anyOf", [described]) if s.get("type") != "null"]
        inner = {k: v for k, v in alternatives[0].items() if k not in {"title", "description"}}
        if "$ref" in inner:
            inner = {k: v for k, v in schema["$defs"][inner["$ref"].rsplit("/", 1)[-1]].items() if k != "description"}
        parameters.append(
            {"name": name, "in": "query", "description": described.get("description", ""), "schema": inner}
        )
    return parameters


def _headers(operation: Operation) -> list[dict[str, Any]]:
    wanted = {
        "If-None-Match": operation.conditional and "The ETag of an earlier response",
        "Idempotency-Key": operation.repeatable
        and "Any text. If you repeat a request with the same key within 24 h, nothing is created twice: the response "
        "has the current state of what the first request created",
        "Prefer": operation.waits and "`wait=n`: respond when the job has ended, or after n seconds (at most 60)",
    }
    limits = {"Idempotency-Key": {"pattern": "^[ -~]{1,255}$"}}
    return [
        {"name": name, "in": "header", "description": description, "schema": {"type": "string", **limits.get(name, {})}}
        for name, description in wanted.items()
        if description
    ]


def _operation_id(method: str, path: str) -> str:
    words = [word for word in re.split(r"[/{}_]+", path) if word and word != "v1"]
    return "_".join([method, *words])


@lru_cache(maxsize=8)
def _schemas(models: tuple[tuple[type[BaseModel], JsonSchemaMode], ...]) -> tuple[Any, dict[str, Any]]:
    return models_json_schema(models, ref_template="#/components/schemas/{model}")


def _reference(model: type[BaseModel], mode: JsonSchemaMode) -> dict[str, str]:
    del mode
    return {"$ref": f"#/components/schemas/{model.__name__}"}
