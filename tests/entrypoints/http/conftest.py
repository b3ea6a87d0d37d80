"""The command line's fixtures, for the one command that lives here."""

from tests.entrypoints.cli.conftest import bottega, environment

__all__ = ["bottega", "environment"]
