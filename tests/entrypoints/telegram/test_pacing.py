"""Turns: in order, within the limits, whatever the clock does, and nobody waits for a chat that has to."""

import asyncio
from datetime import UTC, datetime

from bottega.entrypoints.telegram.pacing import Limit, Limits, Pacer
from tests.entrypoints.telegram.wires import QuickClock


class StallingClock:
    """Goes on by hundredths of a second, but for one second in which everybody oversleeps."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, tz=UTC)

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        until = self.at + seconds
        while self.at < until:  # noqa: ASYNC110  # nothing could set an event
            await asyncio.sleep(0)

    async def go_on(self) -> None:
        while True:
            for _ in range(20):
                await asyncio.sleep(0)
            self.at += 1.0 if 1.0 < self.at < 1.02 else 0.01


async def turns(pacer: Pacer, clock: StallingClock | QuickClock, chats: list[int]) -> list[tuple[float, int]]:
    """Return when each chat had its turns."""
    given: list[tuple[float, int]] = []

    async def one(chat_id: int) -> None:
        async with pacer.turn(chat_id):
            given.append((clock.monotonic(), chat_id))

    await asyncio.gather(*(one(chat_id) for chat_id in chats))
    return given


async def test_after_a_stall_those_who_overslept_do_not_all_go_at_once() -> None:
    clock = StallingClock()
    going = asyncio.create_task(clock.go_on())
    given = [at for at, _ in await turns(Pacer(clock=clock), clock, list(range(1, 101)))]
    going.cancel()
    assert max(sum(start <= at < start + 1 for at in given) for start in given) <= 30
    assert max(given) < 6, "and what is allowed is used"


async def test_messages_that_are_held_up_on_their_way_and_arrive_together_are_not_too_many() -> None:
    """As after a stall of the network: of each thirty, all arrive with the last."""
    clock = QuickClock()
    pacer, counted = Pacer(clock=clock), list[float]()

    async def one(chat_id: int) -> None:
        async with pacer.turn(chat_id):
            await clock.sleep(1.15 - clock.monotonic() % 1.15)
            counted.append(clock.monotonic())

    await asyncio.gather(*(one(chat_id) for chat_id in range(1, 91)))
    assert max(sum(start <= at < start + 1 for at in counted) for start in counted) <= 30
    assert max(counted) < 8, "and nobody waits for good"


async def test_a_chat_that_has_to_wait_holds_up_nobody() -> None:
    clock = QuickClock()
    given = await turns(Pacer(clock=clock), clock, [-100] * 8 + list(range(1, 11)))
    assert max(at for at, chat_id in given if chat_id > 0) < 1
    ours = [at for at, chat_id in given if chat_id == -100]
    assert ours == sorted(ours)
    assert 11 < max(ours) < 13, "three of a group's eight wait four seconds each"


async def test_a_turn_says_how_far_it_is() -> None:
    clock = QuickClock()
    pacer = Pacer(clock=clock, limits=Limits(private=Limit(burst=2, each_second=1)))
    assert pacer.wait_seconds(7) == 0
    for _ in range(2):
        async with pacer.turn(7):
            pass
    assert 0.9 < pacer.wait_seconds(7) <= 1
    assert pacer.wait_seconds(8) < 0.1
    pacer.pause(8, seconds=30)
    assert 29 < pacer.wait_seconds(8) <= 30
    pacer.pause(8, seconds=1)
    assert pacer.wait_seconds(8) > 29, "the longer pause holds"
