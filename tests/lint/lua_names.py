"""Checks the names in one Lua file, with the parser tree-sitter: undefined, unused, shadowed; and unreachable code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import tree_sitter_lua
from tree_sitter import Language, Node, Parser

PARSER = Parser(Language(tree_sitter_lua.language()))

MEMBERS: Mapping[str, frozenset[str]] = {
    "redis": frozenset({"call"}),
    "cjson": frozenset({"decode", "encode", "null"}),
    "math": frozenset({"abs", "ceil", "floor", "max", "min"}),
    "string": frozenset({"find", "format", "gmatch", "gsub", "lower", "match", "rep", "sub", "upper"}),
    "table": frozenset({"concat", "insert", "remove", "sort"}),
}
"""The global tables that scripts use, and their members."""

FUNCTIONS = frozenset({"error", "ipairs", "next", "pairs", "select", "tonumber", "tostring", "type", "unpack"})
GLOBALS = FUNCTIONS | MEMBERS.keys()


@dataclass
class Local:
    line: int
    is_read: bool = False


@dataclass
class Names:
    """What a file does with names. Names that begin with an underscore may stay unused, and may be declared again."""

    findings: list[tuple[int, str]] = field(default_factory=list)
    top_level: dict[str, Local] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    """Names from outside the file, with the line that reads them first."""


def check_names(text: str, outside: Mapping[str, int]) -> Names:
    """Check a file. `outside` has the names that the file may read, with the line from which they are visible."""
    return _File(text, outside).check()


class _File:
    def __init__(self, text: str, outside: Mapping[str, int]) -> None:
        self._tree = PARSER.parse(text.encode())
        self._outside = outside
        self._scopes: list[dict[str, Local]] = []
        self._names = Names()

    def check(self) -> Names:
        root = self._tree.root_node
        for node in _broken(root):
            self._find(node, "syntax error")
        if not self._names.findings:
            self._scopes.append(self._names.top_level)
            self._statements(root)
        return self._names

    def _find(self, node: Node, message: str) -> None:
        self._names.findings.append((_line(node), message))

    # Scopes

    def _block(self, node: Node | None, declared: Iterable[Node] = ()) -> None:
        """Check a block in a scope of its own, which begins with the declared names."""
        self._scopes.append({})
        for name in declared:
            self._declare(name)
        if node is not None:
            self._statements(node)
        self._close()

    def _close(self) -> None:
        for name, local in self._scopes.pop().items():
            if not local.is_read and not name.startswith("_"):
                self._names.findings.append((local.line, f"`{name}` is never read"))

    def _declare(self, node: Node) -> None:
        name = _text(node)
        if not name.startswith("_") and (
            name in GLOBALS or name in self._outside or any(name in scope for scope in self._scopes)
        ):
            self._find(node, f"`{name}` hides another name")
        self._scopes[-1][name] = Local(_line(node))

    def _local(self, name: str) -> Local | None:
        return next((scope[name] for scope in reversed(self._scopes) if name in scope), None)

    def _read(self, node: Node) -> None:
        name = _text(node)
        local = self._local(name)
        if local is not None:
            local.is_read = True
        elif name in self._outside:
            self._names.read.setdefault(name, _line(node))
            if _line(node) < self._outside[name]:
                self._find(node, f"`{name}` is read before its library is included")
        elif name not in GLOBALS:
            self._find(node, f"`{name}` is not defined")

    # Statements

    def _statements(self, block: Node) -> None:
        has_ended = False
        for statement in block.named_children:
            if statement.type == "comment":
                continue
            if has_ended:
                self._find(statement, "this code is never reached")
            self._visit(statement)
            has_ended = _always_ends(statement)

    def _visit(self, node: Node) -> None:
        visit = getattr(self, f"_visit_{node.type}", None)
        if visit is not None:
            visit(node)
        else:
            self._visit_children(node)

    def _visit_children(self, node: Node) -> None:
        for child in node.named_children:
            self._visit(child)

    def _visit_variable_declaration(self, node: Node) -> None:
        (declared,) = node.named_children
        if declared.type == "assignment_statement":
            names, values = declared.named_children
            self._visit(values)
        else:
            names = declared
        for name in names.named_children:
            self._declare(name)

    def _visit_assignment_statement(self, node: Node) -> None:
        targets, values = node.named_children
        self._visit(values)
        for target in targets.named_children:
            if target.type != "identifier":
                self._visit(target)
            elif self._local(_text(target)) is None:
                self._find(target, f"`{_text(target)}` is assigned, and is no local of this file")

    def _visit_function_declaration(self, node: Node) -> None:
        name = node.child_by_field_name("name")
        assert name is not None
        if node.children[0].type == "local":
            self._declare(name)
        else:
            self._find(name, f"function `{_text(name)}` is global")
        self._visit_function_definition(node)

    def _visit_function_definition(self, node: Node) -> None:
        parameters = node.child_by_field_name("parameters")
        assert parameters is not None
        named = (p for p in parameters.named_children if p.type == "identifier")
        self._block(node.child_by_field_name("body"), named)

    def _visit_for_statement(self, node: Node) -> None:
        clause = node.child_by_field_name("clause")
        assert clause is not None
        if clause.type == "for_numeric_clause":
            name, *values = clause.named_children
            names = [name]
        else:
            listed, *values = clause.named_children
            names = listed.named_children
        for value in values:
            self._visit(value)
        self._block(node.child_by_field_name("body"), names)

    def _visit_while_statement(self, node: Node) -> None:
        condition = node.child_by_field_name("condition")
        assert condition is not None
        self._visit(condition)
        self._block(node.child_by_field_name("body"))

    def _visit_repeat_statement(self, node: Node) -> None:
        # The condition sees the locals of the body.
        self._scopes.append({})
        body, condition = node.child_by_field_name("body"), node.child_by_field_name("condition")
        assert condition is not None
        if body is not None:
            self._statements(body)
        self._visit(condition)
        self._close()

    def _visit_do_statement(self, node: Node) -> None:
        self._block(node.child_by_field_name("body"))

    def _visit_if_statement(self, node: Node) -> None:
        for child in node.named_children:
            if child.type == "block":
                self._block(child)
            else:
                self._visit(child)

    _visit_elseif_statement = _visit_else_statement = _visit_if_statement

    # Expressions

    def _visit_identifier(self, node: Node) -> None:
        self._read(node)

    def _visit_dot_index_expression(self, node: Node) -> None:
        table, member = node.named_children
        self._visit(table)
        members = MEMBERS.get(_text(table))
        if members is not None and _text(member) not in members:
            self._find(member, f"`{_text(table)}` has no member `{_text(member)}` that scripts may use")

    def _visit_method_index_expression(self, node: Node) -> None:
        self._visit(node.named_children[0])

    def _visit_field(self, node: Node) -> None:
        for child in node.named_children:
            is_key = child == node.child_by_field_name("name")
            if not (is_key and child.type == "identifier" and node.children[0].type != "["):
                self._visit(child)


def _broken(node: Node) -> Iterator[Node]:
    if node.is_error or node.is_missing:
        yield node
    elif node.has_error:
        for child in node.children:
            yield from _broken(child)


def _always_ends(statement: Node) -> bool:
    """Return whether the code after a statement is never reached."""
    if statement.type in {"return_statement", "break_statement"}:
        return True
    if statement.type == "function_call":
        return _text(statement.named_children[0]) == "error"
    if statement.type == "do_statement":
        return _block_ends(statement)
    if statement.type == "if_statement":
        branches = [
            statement,
            *(c for c in statement.named_children if c.type in {"elseif_statement", "else_statement"}),
        ]
        return branches[-1].type == "else_statement" and all(map(_block_ends, branches))
    return False


def _block_ends(statement: Node) -> bool:
    blocks = [child for child in statement.named_children if child.type == "block"]
    return bool(blocks) and any(map(_always_ends, blocks[0].named_children))


def _line(node: Node) -> int:
    return node.start_point[0] + 1


def _text(node: Node) -> str:
    assert node.text is not None
    return node.text.decode()
