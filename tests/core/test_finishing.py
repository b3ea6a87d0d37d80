import asyncio

import pytest

from bottega.core.finishing import to_the_end


async def test_work_that_nobody_interrupts_returns_or_raises_as_it_is() -> None:
    async def fail() -> None:
        raise KeyError("oops")

    assert await to_the_end(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(KeyError):
        await to_the_end(fail())


@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancelled_caller_waits_until_the_work_is_whole_and_undone(times: int) -> None:
    done: list[str] = []
    step = asyncio.Event()

    async def work() -> str:
        await step.wait()
        done.append("done")
        return "it"

    async def undo(what: str) -> None:
        await asyncio.sleep(0)
        done.append(f"{what} undone")

    caller = asyncio.create_task(to_the_end(work(), undo=undo))
    for _ in range(times):
        await asyncio.sleep(0)
        caller.cancel()
    await asyncio.sleep(0)
    assert not caller.done()
    step.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done == ["done", "it undone"]


async def test_work_that_fails_while_its_caller_is_cancelled_is_not_undone_and_its_error_is_the_cause() -> None:
    async def fail() -> str:
        await asyncio.sleep(0)
        raise KeyError("oops")

    async def undo(what: str) -> None:
        raise AssertionError(what)

    caller = asyncio.create_task(to_the_end(fail(), undo=undo))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await caller
    assert isinstance(cancelled.value.__cause__, KeyError)
