"""Refuse a file that cannot even be read by its own language, while the model still has it in mind."""

import ast
import json
import tomllib
import warnings
from pathlib import PurePosixPath

_WITH_COMMENTS = ("tsconfig", "jsconfig", "devcontainer")


def syntax_fault(path: str, text: str) -> str | None:
    """Say what is wrong with a .py, .json or .toml file and in which line; None for every other file."""
    plain = text.removeprefix("\ufeff")
    name = PurePosixPath(path)
    try:
        if name.suffix in {".py", ".pyi"}:
            _parse_python(plain)
        elif name.suffix == ".json" and not name.name.startswith(_WITH_COMMENTS) and ".vscode" not in name.parts:
            json.loads(plain)
        elif name.suffix == ".toml":
            tomllib.loads(plain)
    except SyntaxError as error:
        line = f": {error.text.strip()[:120]}" if error.text else ""
        return f"line {error.lineno} is not valid Python ({error.msg}){line}"
    except json.JSONDecodeError as error:
        return f"line {error.lineno} is not valid JSON ({error.msg})"
    except (ValueError, RecursionError, MemoryError) as error:  # TOMLDecodeError names its line
        return f"not valid {name.suffix[1:].upper()} ({str(error)[:200] or 'nested too deeply'})"
    return None


def _parse_python(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape in a tenant's string is not our warning
        ast.parse(text)
