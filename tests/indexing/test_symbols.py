import pytest

from bottega.indexing.symbols import symbols

PYTHON = """\
import os

LIMIT = 3


@decorated(
    with_arguments=True,
)
class Store(Base):
    \"\"\"Keeps notes.\"\"\"

    size: int = 0

    @property
    def path(self) -> str:
        def inner():
            pass
        return ""

    async def save(
        self,
        note: str,
    ) -> None: ...


if os.name == "nt":
    def lock(): ...
else:
    def lock(): ...
"""

TYPESCRIPT = """\
export abstract class Store<T> extends Base {
  private cache = new Map();
  find = async (id: string): Promise<T> => {
    return this.load(id);
  };
  constructor(private url: string) { super(); }
  abstract load(id: string): Promise<T>;
}
export interface Note { id: string }
export const sum = (a: number, b: number) => a + b;
export default async function main(): Promise<void> {}
namespace Tools { export function help() {} }
type Id = string;
enum Color { Red }
"""

JAVASCRIPT = """\
exports.run = function (args) { return 1; };
class Cart { #total() {} static of(items) {} }
function* ids() {}
"""


def outline(text: str, language: str) -> list[tuple[str, str, int, int]]:
    found = symbols(text=text, language=language)
    assert found is not None
    return [(symbol.name, symbol.kind, symbol.start_line, symbol.end_line) for symbol in found]


def test_python_has_classes_methods_and_functions_with_their_decorators() -> None:
    assert outline(PYTHON, "python") == [
        ("Store", "class", 6, 23),
        ("Store.path", "method", 14, 18),
        ("Store.save", "method", 20, 23),
        ("lock", "function", 27, 27),
        ("lock", "function", 29, 29),
    ]


def test_typescript_has_what_javascript_has_and_types() -> None:
    assert outline(TYPESCRIPT, "typescript") == [
        ("Store", "class", 1, 8),
        ("Store.find", "method", 3, 5),
        ("Store.constructor", "method", 6, 6),
        ("Store.load", "method", 7, 7),
        ("Note", "interface", 9, 9),
        ("sum", "function", 10, 10),
        ("main", "function", 11, 11),
        ("Tools", "namespace", 12, 12),
        ("Tools.help", "function", 12, 12),
        ("Id", "type", 13, 13),
        ("Color", "enum", 14, 14),
    ]


def test_javascript_has_assigned_functions_and_private_methods() -> None:
    assert outline(JAVASCRIPT, "javascript") == [
        ("exports.run", "function", 1, 1),
        ("Cart", "class", 2, 2),
        ("Cart.#total", "method", 2, 2),
        ("Cart.of", "method", 2, 2),
        ("ids", "function", 3, 3),
    ]


def test_tsx_is_its_own_language() -> None:
    assert outline("export const App = () => <main>{1}</main>;\n", "tsx") == [("App", "function", 1, 1)]


def test_a_signature_is_one_line_without_the_body() -> None:
    found = symbols(text=PYTHON, language="python")
    assert found is not None
    assert [symbol.signature for symbol in found][:3] == [
        "class Store(Base)",
        "def path(self) -> str",
        "async def save( self, note: str, ) -> None",
    ]


@pytest.mark.parametrize(
    ("text", "language"),
    [("def broken(:\n", "python"), ("class {", "javascript"), ("# title", "markdown"), ("", "cobol")],
)
def test_what_cannot_be_parsed_has_no_symbols(text: str, language: str) -> None:
    assert symbols(text=text, language=language) is None


def test_deep_nesting_is_survived() -> None:
    depth = 3000
    assert symbols(text="{" * depth + "}" * depth, language="javascript") == ()
