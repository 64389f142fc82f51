"""The order in which xdist hands the files of tests out: long ones of a kind are apart, and none comes last."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from tests.conftest import KINDS, LONG_SHARE, TOGETHER, places_of, scope_of

TESTS = Path(__file__).parents[1]


def long_kind(path: Path) -> str:
    below = path.relative_to(TESTS).as_posix()
    return next((kind for kind in KINDS if below.startswith(kind)), "")


def test_long_files_of_a_kind_are_spread_and_short_ones_come_last() -> None:
    files = sorted(TESTS.rglob("test_*.py"))
    assert {long_kind(path) for path in files} == {*KINDS, ""}, "the folders are called so"
    places = places_of(files)
    assert places.keys() == set(files)
    for kind in KINDS:
        own = sorted(place for path, place in places.items() if long_kind(path) == kind)
        gaps = [after - before for before, after in pairwise(own)]
        assert max(gaps) < 1.01 * LONG_SHARE / len(own)
        assert own[-1] < LONG_SHARE
    assert not long_kind(max(places, key=lambda path: places[path]))


def test_the_files_of_one_folder_keep_their_order() -> None:
    for folder in (TESTS / "browser", TESTS / "unit"):
        files = sorted(folder.rglob("test_*.py"))
        places = places_of(files)
        assert sorted(files, key=lambda path: places[path]) == files


def test_files_that_share_a_stack_are_together_and_all_others_alone() -> None:
    files = [path.relative_to(TESTS.parent).as_posix() for path in sorted(TESTS.rglob("test_*.py"))]
    scopes = {file: scope_of(f"{file}::test_x[a/b::c]") for file in files}
    assert {scope for scope in scopes.values() if scope not in files} == {*TOGETHER}
    for file, scope in scopes.items():
        assert (scope == file) != file.startswith(("tests/browser/", "tests/end_to_end/test_catalog"))
