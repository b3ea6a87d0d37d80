"""Identifiers: projects, runs and everything of theirs have UUIDs; people have integers from the database."""

import uuid


def new_id() -> uuid.UUID:
    return uuid.uuid4()
