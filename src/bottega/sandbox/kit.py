"""What of the host a run may see: programs and their libraries, read-only, and nothing a person or the product owns.

The Python that runs Bottega is lent with its standard library alone; installed packages are masked. pytest is lent too
when it is installed beside Bottega, and Node when it is on the search path.
"""

import importlib.metadata
import importlib.util
import shutil
import site
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BIN = "/opt/bottega/bin"
_LIB = "/opt/bottega/lib"
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/alternatives", "/etc/ld.so.cache")
_PYTEST = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py")
_TEXTS = {
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "/etc/passwd": "nobody:x:65534:65534:nobody:/tmp:/bin/sh\n",
    "/etc/group": "nogroup:x:65534:\n",
}
_PYTEST_SCRIPT = '#!/bin/sh\nexec python3 -P -m pytest "$@"\n'  # like pytest's own script: the folder is not importable


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """`folders` keep their place; `links` are (what it points to, where it stands); `libraries` are name -> place."""

    python: str
    folders: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    masked: tuple[str, ...]
    libraries: Mapping[str, str]
    library_folder: str
    programs: Mapping[str, str]
    texts: Mapping[str, str]


def find_kit(*, search_path: str = SEARCH_PATH) -> Kit:
    python = _interpreter()
    node = shutil.which("node", path=search_path)
    libraries = _pytest_folders()
    masked = tuple(
        path for path in site.getsitepackages([sys.base_prefix, "/usr", "/usr/local"]) if Path(path).is_dir()
    )
    lent = [Path("/usr"), *_python_folders(), *([_node_folder(node)] if node else [])]
    kept, links = _system_folders()
    return Kit(
        python=python,
        folders=tuple(dict.fromkeys(str(path) for path in lent if _adds(path))) + kept,
        links=links,
        masked=tuple(dict.fromkeys(masked)),
        libraries=libraries,
        library_folder=masked[0] if masked else _LIB,
        programs={"python": python, "python3": python, **({"node": str(Path(node).resolve())} if node else {})},
        texts=_TEXTS | ({f"{BIN}/pytest": _PYTEST_SCRIPT} if libraries else {}),
    )


def _interpreter() -> str:
    return str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")


def _python_folders() -> list[Path]:
    return [path for name in ("bin", "lib", "lib64") if (path := Path(sys.base_prefix) / name).is_dir()]


def _node_folder(node: str) -> Path:
    program = Path(node).resolve()
    prefix = program.parent.parent
    # a lone binary in somebody's ~/bin must not lend their home
    return prefix if (prefix / "include" / "node").is_dir() else program


def _adds(path: Path) -> bool:
    return path == Path("/usr") or not path.is_relative_to("/usr")


def _system_folders() -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    present = [Path(name) for name in _SYSTEM if Path(name).exists()]
    links = tuple((str(path.readlink()), str(path)) for path in present if path.is_symlink())
    return tuple(str(path) for path in present if not path.is_symlink()), links


def _pytest_folders() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PYTEST:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            return {}
        place = Path(spec.submodule_search_locations[0] if spec.submodule_search_locations else spec.origin)
        found[place.name] = str(place)
    # pytest asks for pluggy's version; no other metadata is lent, so no plugin of ours loads itself
    version = importlib.metadata.distribution("pluggy")
    metadata = version.locate_file(f"pluggy-{version.version}.dist-info")
    return found | {Path(str(metadata)).name: str(metadata)}
