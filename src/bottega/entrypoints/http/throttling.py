"""How often an address and a person may ask. What is over is 429, and says when to come back.

An address is the one the connection comes from, or what a proxy that TRUSTED_PROXIES names says of it; of IPv6, the
network of 64 bits that one customer is given. Answers carry `RateLimit` and `RateLimit-Policy`, as the IETF's draft has
them.
"""

import ipaddress

import structlog
from starlette.requests import Request

from bottega.access.rates import Rate, Standing, TooManyRequests
from bottega.access.service import Access
from bottega.entrypoints.http.protection import answer_with

IPV6_NETWORK_BITS = 64
LONGEST_ADDRESS = 64

log = structlog.get_logger()


async def count_person(request: Request, access: Access, *, user_id: int) -> None:
    """Count a request of a person's. Raise TooManyRequests."""
    _check(request, await access.limiter.hit(access.rates.person, name="person", who=str(user_id)))


async def count_address(request: Request, access: Access) -> None:
    """Count a request of an address. Raise TooManyRequests."""
    _check(request, await access.limiter.hit(access.rates.address, name="address", who=address_of(request)))


async def count_refresh(request: Request) -> None:
    """Count, whatever is away, a request that shows a refresh token. Raise TooManyRequests."""
    access: Access = request.app.state.access
    await _count_surely(request, access, access.rates.address, name="refresh")


async def count_sign_in(request: Request) -> None:
    """Count, whatever is away, a try to sign in. Raise TooManyRequests."""
    access: Access = request.app.state.access
    await _count_surely(request, access, access.rates.sign_in, name="sign-in")


async def _count_surely(request: Request, access: Access, rate: Rate, *, name: str) -> None:
    standing = await access.limiter.hit(rate, name=name, who=address_of(request), must_count=True)
    _check(request, standing)


def address_of(request: Request) -> str:
    """Return where a request comes from, as it is counted."""
    host = request.client.host if request.client else "unknown"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:LONGEST_ADDRESS]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), IPV6_NETWORK_BITS), strict=False))
    return str(address)


def _check(request: Request, standing: Standing) -> None:
    if not standing.is_counted:
        return
    rate, seconds = standing.rate, standing.resets_in_seconds
    answer_with(request, "RateLimit-Policy", f'"{standing.name}";q={rate.amount};w={rate.seconds}')
    answer_with(request, "RateLimit", f'"{standing.name}";r={standing.remaining};t={seconds}')
    if not standing.is_allowed:
        answer_with(request, "Retry-After", str(seconds))
        log.warning("http.throttled", limit=standing.name)
        raise TooManyRequests(retry_after_seconds=seconds)
