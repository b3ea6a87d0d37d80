"""A test that must fail, put where the command will find it: a suite that stays green with it cannot fail at all.

It goes into every test file the command reaches, because only the runner knows which of them it will collect. Its name
carries the marker and whatever `-k` and `-m` ask for, so that the very same command selects it.
"""

import ast
import re
import secrets
from collections.abc import Mapping
from pathlib import PurePosixPath

from bottega.sandbox.inventory import inventory
from bottega.sandbox.toolchains import Runner, Selection, selected_files


def with_canary(files: Mapping[str, bytes], selection: Selection) -> tuple[dict[str, bytes], str]:
    """Return a copy of `files` with the failing test, and the marker that its failure prints."""
    marker = secrets.token_hex(8)
    tested = sorted({test.split("::")[0] for test in inventory(files)} | _reached_by_name(files, selection))
    reached = selected_files(selection, tested) or {path: () for path in tested if _is_below(path, selection.folder)}
    reached = {path: inside for path, inside in reached.items() if _suits(path, selection.runner)}
    canaries = {
        path: _planted(files[path].decode(errors="replace"), path, selection, inside, marker)
        for path, inside in reached.items()
    }
    if not canaries:
        path, content = _new_file(selection, marker)
        canaries = {path: content}
    return {**files, **{path: text.encode() for path, text in canaries.items()}}, marker


def _reached_by_name(files: Mapping[str, bytes], selection: Selection) -> set[str]:
    """Return files named one by one: they are tested whatever they are called."""
    return {path for path in selected_files(selection, list(files)) if path in _full_words(selection)}


def _full_words(selection: Selection) -> set[str]:
    return {str(PurePosixPath(selection.folder, word.split("::")[0])) for word in selection.words}


def _suits(path: str, runner: Runner) -> bool:
    return path.endswith(".py") == (runner is not Runner.NODE)


def _is_below(path: str, folder: str) -> bool:
    return not folder or path.startswith(f"{folder}/")


def _planted(source: str, path: str, selection: Selection, inside: tuple[str, ...], marker: str) -> str:
    if not path.endswith(".py"):
        return f"{source}\n{_node_canary(source, path, marker)}\n"
    if inside:
        return _failing_inside(source, inside, marker)
    before, main, after = _split_at_main(source)
    return f"{before}\n\n{_python_canary(selection, marker)}\n{main}{after}"


def _new_file(selection: Selection, marker: str) -> tuple[str, str]:
    if selection.runner is Runner.NODE:
        path = f"canary_{marker}.test.mjs"
        return str(PurePosixPath(selection.folder, path)), _node_canary("", path, marker)
    return str(PurePosixPath(selection.folder, f"test_{marker}.py")), _python_canary(selection, marker)


def _python_canary(selection: Selection, marker: str) -> str:
    """Return a TestCase: unittest and pytest both collect one, whatever the project calls its classes."""
    name = "_".join(["test", marker, *_words_of(selection.option("-k"))])
    marks = _words_of(selection.option("-m"))
    decorators = "".join(f"    @__import__('pytest').mark.{mark}\n" for mark in marks)
    return (
        f"class Test{marker}(__import__('unittest').TestCase):\n{decorators}"
        f"    def {name}(self):\n        raise AssertionError('{marker}')\n"
    )


def _words_of(expression: str) -> list[str]:
    """Return the words that an expression such as `one and not two` asks for."""
    asked = re.sub(r"\bnot\s+\w+", "", expression)
    return [word for word in re.findall(r"\w+", asked) if word not in {"and", "or", "not"}]


def _node_canary(source: str, path: str, marker: str) -> str:
    throw = f"{{ throw new Error('{marker}'); }}"
    if path.endswith((".mjs", ".mts")) or re.search(r"^\s*(import|export)\b", source, re.MULTILINE):
        return f"import {{ test as test_{marker} }} from 'node:test';\ntest_{marker}('{marker}', () => {throw});"
    return f"require('node:test').test('{marker}', () => {throw});"


def _split_at_main(source: str) -> tuple[str, str, str]:
    """Split before `if __name__ == ...`, so that a file run as a script has its canary before it starts the runner."""
    found = list(re.finditer(r"^if __name__\b.*$", source, re.MULTILINE))
    if not found:
        return source, "", ""
    return source[: found[-1].start()], found[-1][0], source[found[-1].end() :]


def _failing_inside(source: str, inside: tuple[str, ...], marker: str) -> str:
    """Make every test under the chosen class or function fail: a new one beside it would not be selected."""
    lines = source.splitlines()
    wanted = inside[-1].partition("[")[0]
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return source
    chosen = [node for node in ast.walk(tree) if getattr(node, "name", None) == wanted]
    functions = [
        node for top in chosen for node in ast.walk(top) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    for function in sorted(functions, key=lambda node: node.lineno, reverse=True):
        first = function.body[0]
        if function.name.startswith("test") and first.lineno > function.lineno:
            lines.insert(first.lineno - 1, " " * first.col_offset + f"raise AssertionError('{marker}')")
    return "\n".join(lines) + "\n"
