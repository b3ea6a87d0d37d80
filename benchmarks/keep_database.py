"""Use the embedded database until stdin ends, so that it is running when others come."""

import asyncio
import sys

from bottega.bootstrap import database_url
from bottega.config import Settings


async def main() -> None:
    async with database_url(Settings.load()):
        print("running", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
