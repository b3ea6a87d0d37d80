from tests.journeys.conftest import open_workshop

__all__ = ["open_workshop"]
