"""Documents lead somewhere: relative links, and the paths and words in docs/where-to-change.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WHERE = ROOT / "docs" / "where-to-change.md"
IGNORED = {"node_modules", "build"}
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
QUOTED = re.compile(r"`([^`]+)`")
A_PATH = re.compile(r"[\w.-]*[/.][\w./-]+")


def documents() -> list[str]:
    """Return every Markdown file of the repository, also those that are not committed yet."""
    files = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
    return sorted(
        str(path) for path in files if not any(part in IGNORED or part.startswith(".") for part in path.parts)
    )


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, made as GitHub makes them."""
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(document: Path) -> list[str]:
    """Return the relative links that lead to no file, or to no heading of it."""
    dead = []
    for link in LINK.findall(CODE.sub("", document.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("document", documents())
def test_every_relative_link_leads_somewhere(document: str) -> None:
    assert dead_links(ROOT / document) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A title, and more\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md#a-title-and-more) [b](gone.md) [c](other.md#gone) [d](https://x.example) `[e](gone)`\n"
    )
    assert dead_links(page) == ["gone.md", "other.md#gone"]


def rows() -> list[list[str]]:
    """Return the rows of the tables: change, files, words to search for, tests."""
    lines = [line.strip("| ").split(" | ") for line in WHERE.read_text().splitlines() if line.startswith("| ")]
    return [cells for cells in lines if cells[0] != "change"]


def paths(cell: str) -> list[str]:
    quoted = QUOTED.findall(cell)
    return [each for each in quoted if A_PATH.fullmatch(each) and not each.startswith("tests.") and each != ".in"]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_row_names_files_that_exist_and_words_that_are_in_them(row: list[str]) -> None:
    _, files, words, tests = row
    named = paths(files)
    assert named
    assert QUOTED.findall(tests)
    assert [path for path in [*named, *QUOTED.findall(tests)] if not (ROOT / path).exists()] == []
    texts = {path: (ROOT / path).read_text() for path in named if (ROOT / path).is_file()}
    sought = QUOTED.findall(words)
    assert [word for word in sought if not any(word in text for text in texts.values())] == []
    assert [path for path, text in texts.items() if not any(word in text for word in sought)] == []
