"""Types of fields that several requests share, and errors that name each invalid field.

What a request may contain is in api/contract, and for jobs in shared/jobs/options.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from shared.errors import FieldsInvalidError

M = TypeVar("M", bound=BaseModel)

MAX_WHOLE_NUMBER = 2**53

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Identifier = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


def _plain(value: object) -> object:
    # Refuses booleans, and integers beyond 2**53, which some JSON parsers round.
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number or text")  # noqa: TRY004 - pydantic wants ValueError
    if not (abs(value) <= MAX_WHOLE_NUMBER if isinstance(value, int) else math.isfinite(value)):
        raise ValueError("is out of range")
    return value


def not_boolean(value: object) -> object:
    """Refuse true and false, which Python counts as numbers."""
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic wants ValueError
    return value


Parameter = Annotated[int | float | str, BeforeValidator(_plain)]
StreamNumber = Annotated[int, BeforeValidator(not_boolean), Field(ge=1, le=1000)]
Seconds = Annotated[float, BeforeValidator(not_boolean), Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class Strict(BaseModel):
    """A part of a request. Unknown fields are errors, so a typing mistake is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def validate(model: type[M], values: object) -> M:
    """Return the values as the model. Raises FieldsInvalidError, which names each invalid field."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise FieldsInvalidError([_field_error(e) for e in error.errors(include_url=False)]) from error


def _field_error(error: Mapping[str, Any]) -> dict[str, Any]:
    message = error["msg"].removeprefix("Value error, ")
    found: dict[str, Any] = {"field": ".".join(str(part) for part in error["loc"]), "message": message}
    if error["type"] in {"literal_error", "enum"}:
        found["allowed"] = re.findall(r"'([^']*)'", error["ctx"]["expected"])
    return found
