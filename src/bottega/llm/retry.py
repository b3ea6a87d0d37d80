"""When to ask again: pure policy, for whoever runs the loop.

A provider that says how long to wait is taken at its word, to 0.2 s. Otherwise the wait is drawn between nothing and a
bound that doubles (full jitter), so that many runs which failed together do not return together. A reply that broke on
its way says nothing of the provider's load: it is asked for again at once, and only when that breaks too is it waited.
Where only one key's limit was reached and another key is ready, there is nothing to wait for. A wait longer than
`patience_seconds` is not slept through: the run waits durably instead. A provider that fell silent is not asked again
here: it has cost a minute already, and whoever asks may have another model.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bottega.llm.errors import Disconnected, Interrupted, MalformedResponse, ProviderError, Stalled

SLACK_SECONDS = 0.2
BROKEN_ON_ITS_WAY = (Disconnected, Interrupted, MalformedResponse)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    max_attempts: int = 4
    base_seconds: float = 1.0
    cap_seconds: float = 20.0
    patience_seconds: float = 60.0

    def next_delay(self, error: Exception, *, attempt: int, random: Callable[[], float]) -> float | None:
        """Return the seconds to wait after attempt number `attempt` (from 1), None to give up.

        `random` returns a number in [0, 1), as `random.random` does.
        """
        if not isinstance(error, ProviderError) or isinstance(error, Stalled) or attempt >= self.max_attempts:
            return None
        if error.another_key_ready:
            return random() * SLACK_SECONDS
        if not error.retryable:
            return None
        asked = error.retry_after_seconds
        if asked is None and attempt == 1 and isinstance(error, BROKEN_ON_ITS_WAY):
            return random() * SLACK_SECONDS
        if asked is None:
            # The exponent is bounded so that no number of attempts overflows.
            return random() * min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt - 1, 64))
        if asked > self.patience_seconds:
            return None
        return asked + random() * SLACK_SECONDS
