"""A process that uses the embedded database: `python client.py HOME` prints the URL, then leaves when told to."""

import asyncio
import sys
from pathlib import Path

from bottega.core.clock import SystemClock
from bottega.db.embedded import EmbeddedPostgres


async def main() -> None:
    server = EmbeddedPostgres(home=Path(sys.argv[1]), clock=SystemClock(), durable=False)
    sys.stdout.write(f"{await server.start()}\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(f"{await server.stop()}\n")


if __name__ == "__main__":
    asyncio.run(main())
