"""The table of settings in docs/settings.md is the one that shared/settings.py makes.

python -m tests.unit.test_settings_documented    writes it again
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from shared.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
TABLE = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- end of settings -->)", re.DOTALL)


def shown(default: Any) -> str:
    """Return a default as one would write it into the environment."""
    text = "" if default is None else f"{default:.12g}" if isinstance(default, float) else str(default)
    return f"`{text}`" if text else ""


def table() -> str:
    rows = [
        f"| `{name.upper()}` | {shown(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| setting | default | what it does |", "|---|---|---|", *rows, ""])


def test_every_setting_says_what_it_does() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_page_lists_every_setting_with_its_default() -> None:
    found = TABLE.search(PAGE.read_text())
    assert found is not None
    assert found[0] == table(), "python -m tests.unit.test_settings_documented writes it again"


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text()))
