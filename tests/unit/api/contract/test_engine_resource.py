"""The OpenAPI document names all that workers tell of an engine."""

from __future__ import annotations

from dataclasses import fields

from api.contract.server_responses import EngineResource
from worker.engines.interface import EngineDescription


def test_each_field_of_a_description_is_in_the_response() -> None:
    assert {field.name for field in fields(EngineDescription)} <= set(EngineResource.model_fields)
