"""What kind of file a path is, by its suffix. What projects store as `file_type` and the index parses by."""

from pathlib import PurePosixPath

_BY_SUFFIX = {
    ".c": "c",
    ".cpp": "cpp",
    ".cs": "csharp",
    ".css": "css",
    ".go": "go",
    ".h": "c",
    ".htm": "html",
    ".html": "html",
    ".ini": "ini",
    ".cfg": "ini",
    ".cjs": "javascript",
    ".cts": "typescript",
    ".java": "java",
    ".js": "javascript",
    ".json": "json",
    ".jsx": "javascript",
    ".md": "markdown",
    ".mjs": "javascript",
    ".mts": "typescript",
    ".php": "php",
    ".py": "python",
    ".pyi": "python",
    ".rb": "ruby",
    ".rs": "rust",
    ".sh": "shell",
    ".sql": "sql",
    ".toml": "toml",
    ".ts": "typescript",
    ".tsx": "tsx",
    ".txt": "text",
    ".xml": "xml",
    ".yaml": "yaml",
    ".yml": "yaml",
}
_BY_NAME = {"dockerfile": "dockerfile", "makefile": "make"}


def language_of(path: str) -> str:
    """Return the language of a file, `text` where nothing is known."""
    name = PurePosixPath(path)
    return _BY_NAME.get(name.name.casefold()) or _BY_SUFFIX.get(name.suffix.casefold(), "text")
