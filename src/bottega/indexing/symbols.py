"""The symbols of a source file, by tree-sitter: what is defined where, and its signature in one line.

Only declarations are looked at: module level, class and namespace bodies, and the branches of conditions around them.
What is defined inside a function belongs to the function. Grammars are loaded when the first file needs them.
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from tree_sitter import Language, Node, Parser

_GRAMMARS = {
    "python": ("tree_sitter_python", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
}
_KINDS = {
    "function_definition": "function",
    "function_declaration": "function",
    "generator_function_declaration": "function",
    "function_signature": "function",
    "method_definition": "method",
    "method_signature": "method",
    "abstract_method_signature": "method",
    "class_definition": "class",
    "class_declaration": "class",
    "abstract_class_declaration": "class",
    "interface_declaration": "interface",
    "enum_declaration": "enum",
    "type_alias_declaration": "type",
    "internal_module": "namespace",
    "module": "namespace",
}
_SCOPES = {"class", "namespace"}  # whose members are symbols of their own
_ASSIGNMENTS = {"variable_declarator", "public_field_definition", "field_definition", "assignment_expression"}
_FUNCTION_VALUES = {"arrow_function", "function_expression", "generator_function"}
_TRANSPARENT = {
    "program",
    "decorated_definition",
    "export_statement",
    "ambient_declaration",
    "expression_statement",
    "lexical_declaration",
    "variable_declaration",
    "block",
    "statement_block",
    "class_body",
    "if_statement",
    "else_clause",
    "elif_clause",
    "try_statement",
    "except_clause",
    "with_statement",
}
_WRAPPERS = {"decorated_definition", "export_statement", "lexical_declaration", "variable_declaration"}
_LONGEST_SIGNATURE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """Lines are 1-based and inclusive and include decorators."""

    name: str  # qualified: Ledger.settle
    kind: str
    start_line: int
    end_line: int
    signature: str
    depth: int


def symbols(*, text: str, language: str) -> tuple[Symbol, ...] | None:
    """Return a file's symbols, outer ones before those inside them; None where it cannot be parsed."""
    grammar = _grammar(language)
    if grammar is None:
        return None
    root = Parser(grammar).parse(text.encode(errors="replace")).root_node
    return None if root.has_error else tuple(_declared(root))


@cache
def _grammar(language: str) -> Language | None:
    if language not in _GRAMMARS:
        return None
    module, function = _GRAMMARS[language]
    try:
        grammar: object = getattr(importlib.import_module(module), function)()
    except ImportError:
        return None  # windows of lines do without it
    return Language(grammar)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A node to look at: `outermost` is what its lines are counted from, `scope` the symbols around it."""

    node: Node
    outermost: Node
    scope: str = ""
    depth: int = 0
    in_class: bool = False


def _declared(root: Node) -> Iterator[Symbol]:
    """Walk declarations with a stack: a hostile file may nest deeper than Python recurses."""
    stack = [_Place(node=child, outermost=child) for child in reversed(root.children)]
    while stack:
        place = stack.pop()
        kind = _kind(place)
        if kind is None:
            stack += reversed(list(_inside_transparent(place)))
            continue
        name = place.scope + _name(place.node)
        yield _symbol(place, name=name, kind=kind)
        if kind in _SCOPES:
            stack += reversed(list(_members(place, name=name, in_class=kind == "class")))


def _inside_transparent(place: _Place) -> Iterator[_Place]:
    if place.node.type not in _TRANSPARENT:
        return
    for child in place.node.children:
        yield replace(place, node=child, outermost=place.outermost if place.node.type in _WRAPPERS else child)


def _members(place: _Place, *, name: str, in_class: bool) -> Iterator[_Place]:
    body = place.node.child_by_field_name("body")
    for child in body.children if body else ():
        yield _Place(node=child, outermost=child, scope=f"{name}.", depth=place.depth + 1, in_class=in_class)


def _kind(place: _Place) -> str | None:
    node = place.node
    if node.type in _ASSIGNMENTS:
        value = node.child_by_field_name("value") or node.child_by_field_name("right")
        if value is None or value.type not in _FUNCTION_VALUES:
            return None
        return "method" if place.in_class else "function"
    kind = _KINDS.get(node.type)
    return "method" if kind == "function" and place.in_class else kind


def _name(node: Node) -> str:
    fields = (node.child_by_field_name(field) for field in ("name", "property", "left"))
    named = next((field for field in fields if field), None)
    return _text(named).strip("'\"") if named else "default"  # JavaScript: export default function () {}


def _symbol(place: _Place, *, name: str, kind: str) -> Symbol:
    return Symbol(
        name=name,
        kind=kind,
        start_line=place.outermost.start_point.row + 1,
        end_line=place.outermost.end_point.row + 1,
        signature=_signature(place.node),
        depth=place.depth,
    )


def _signature(node: Node) -> str:
    """Return what stands before the body, on one line; of a symbol without a body, all of it."""
    value = node.child_by_field_name("value") or node.child_by_field_name("right")
    body = (value if node.type in _ASSIGNMENTS and value else node).child_by_field_name("body")
    source = node.text or b""
    head = source[: body.start_byte - node.start_byte] if body else source
    line = " ".join(head.decode(errors="replace").split()).removesuffix("=>").rstrip(" :{;")
    return line if len(line) <= _LONGEST_SIGNATURE else f"{line[: _LONGEST_SIGNATURE - 1]}…"


def _text(node: Node) -> str:
    return (node.text or b"").decode(errors="replace")
