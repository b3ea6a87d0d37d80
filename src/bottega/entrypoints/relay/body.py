"""Reading what somebody sends: never more than is allowed, never for longer than is decent."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from bottega.core.errors import AppError

READING_SECONDS = 30.0


class BodyTooLarge(AppError):
    code = "body_too_large"
    http_status = 413

    def __init__(self, *, limit_bytes: int) -> None:
        super().__init__(f"The body is larger than {limit_bytes // 1024} KiB.")
        self.limit_bytes = limit_bytes


class BodyTooSlow(AppError):
    code = "body_too_slow"
    http_status = 408

    def __init__(self) -> None:
        super().__init__("The body did not arrive in time.")


async def read_body(request: Request, *, limit_bytes: int, within_seconds: float = READING_SECONDS) -> bytes:
    """Return the body.

    Raises:
        BodyTooLarge: as soon as it is known, by its announced length or by what has arrived.
        BodyTooSlow: also when the sender went away.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit_bytes:
        raise BodyTooLarge(limit_bytes=limit_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(within_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit_bytes:
                    raise BodyTooLarge(limit_bytes=limit_bytes)
    except (TimeoutError, ClientDisconnect) as error:
        raise BodyTooSlow from error
    return bytes(body)
