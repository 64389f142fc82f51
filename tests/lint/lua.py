"""The linter of the Lua scripts: `python -m tests.lint.lua`. `make lint` runs it.

It checks each file below shared/redis_client/lua/ with the names that it sees in Redis: a script's arguments, and the
top-level names of the libraries that it includes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from shared.redis_client.scripts import INCLUDE, declared_arguments
from tests.lint.lua_names import Names, check_names

FOLDER = Path(__file__).parents[2] / "shared" / "redis_client" / "lua"
MAX_COLUMNS = 120
KEYS_LIBRARY = "lib/keys"
"""The only file that may read KEYS."""


@dataclass(frozen=True)
class Finding:
    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}.lua:{self.line}: {self.message}"


class LuaFiles:
    """All files of a folder, by their names without `.lua`. Those below lib/ are libraries, the others scripts."""

    def __init__(self, folder: Path) -> None:
        self.texts = {
            str(path.relative_to(folder).with_suffix("")): path.read_text() for path in sorted(folder.rglob("*.lua"))
        }
        self.libraries = [name for name in self.texts if name.startswith("lib/")]

    def findings(self) -> Iterator[Finding]:
        """Yield everything that is wrong."""
        for name, text in self.texts.items():
            for number, line in enumerate(text.splitlines(), 1):
                if len(line) > MAX_COLUMNS or line != line.rstrip():
                    yield Finding(name, number, f"longer than {MAX_COLUMNS} columns, or ends in a space")
            yield from self._head_findings(name)
        if any(library not in self.libraries for name in self.texts for library in self._includes(name)):
            return  # names cannot be checked
        for name, names in self.names.items():
            yield from (Finding(name, line, message) for line, message in names.findings)
            yield from self._unused(name)
        yield from self._ambiguous_names()

    @cached_property
    def names(self) -> Mapping[str, Names]:
        """What each file does with names."""
        return {name: check_names(text, self._outside(name)) for name, text in self.texts.items()}

    @cached_property
    def exports(self) -> Mapping[str, frozenset[str]]:
        """The top-level names of each library."""
        return {name: frozenset(check_names(self.texts[name], {}).top_level) for name in self.libraries}

    def _includes(self, name: str) -> dict[str, int]:
        """Return the libraries that a file includes itself, with the lines."""
        text = self.texts[name]
        return {match[1]: text.count("\n", 0, match.start()) + 1 for match in INCLUDE.finditer(text)}

    def _arguments(self, name: str) -> Mapping[str, str]:
        try:
            return {} if name in self.libraries else declared_arguments(name, self.texts[name])
        except ValueError:
            return {}  # _head_findings says so

    def _outside(self, name: str) -> dict[str, int]:
        """Return the names from outside that a file sees, with the line from which it sees each."""
        visible = dict.fromkeys(self._arguments(name), 0)
        if name == KEYS_LIBRARY:
            visible["KEYS"] = 0
        for library, line in self._includes(name).items():
            for included in self._with_its_libraries(library):
                for export in self.exports[included]:
                    visible.setdefault(export, line)
        return visible

    def _with_its_libraries(self, library: str, seen: frozenset[str] = frozenset()) -> frozenset[str]:
        seen |= {library}
        for other in self._includes(library):
            if other not in seen:
                seen |= self._with_its_libraries(other, seen)
        return seen

    def _head_findings(self, name: str) -> Iterator[Finding]:
        for library, line in self._includes(name).items():
            if library not in self.libraries:
                yield Finding(name, line, f"there is no library {library}")
        if not self.texts[name].startswith("-- "):
            yield Finding(name, 1, "the first line does not say what this file is for")
        if name not in self.libraries:
            if "\n-- Returns: " not in self.texts[name]:
                yield Finding(name, 1, "there is no line `-- Returns: …`")
            try:
                declared_arguments(name, self.texts[name])
            except ValueError as error:
                yield Finding(name, 1, str(error))

    def _unused(self, name: str) -> Iterator[Finding]:
        names, is_library = self.names[name], name in self.libraries
        for argument in self._arguments(name):
            if argument not in names.read:
                yield Finding(name, 1, f"the argument `{argument}` is never read")
        for library, line in self._includes(name).items():
            if not self.exports[library] & names.read.keys():
                yield Finding(name, line, f"nothing of {library} is used here")
        elsewhere = {read for other in self.names.values() for read in other.read} if is_library else set()
        for top_level, local in names.top_level.items():
            if not local.is_read and top_level not in elsewhere and not top_level.startswith("_"):
                yield Finding(name, local.line, f"`{top_level}` is never read")

    def _ambiguous_names(self) -> Iterator[Finding]:
        owner: dict[str, str] = {}
        for library in self.libraries:
            for export in sorted(self.exports[library]):
                if owner.setdefault(export, library) != library:
                    yield Finding(library, 1, f"{owner[export]} has the name `{export}` too")
        for name in self.texts:
            for argument in self._arguments(name):
                if argument in owner:
                    yield Finding(name, 1, f"the argument `{argument}` has the name of something in {owner[argument]}")


def main() -> int:
    files = LuaFiles(FOLDER)
    findings = sorted({str(finding) for finding in files.findings()})
    print(*findings, sep="\n", end="\n" if findings else "")
    if not findings:
        print(f"All checks passed for {len(files.texts)} Lua files.")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
