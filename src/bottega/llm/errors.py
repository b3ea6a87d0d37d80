"""What can go wrong at a provider.

    ProviderError
      RateLimited          429; `retry_after_seconds` where the provider said it
      OutOfQuota           a daily or spend quota: waiting a little is useless
        PaymentRequired    402: the account has no credit, whichever key asks
      Overloaded           500, 502, 503, 529, connection refused
        Disconnected       the connection was lost before the answer began
      Stalled              no first byte in time, or no progress in time
      Interrupted          the stream ended without a finish; `partial` is what had arrived
      AuthenticationFailed 401, 403
      RequestRejected      400, 404, 413, 422: the same request will fail again
      Refused              a safety block; nothing usable came back
      MalformedResponse    not the provider's own dialect

`retryable` says whether the same request may succeed later, `another_key_ready` that only one key's limit was reached
and another can be used at once. Where tokens were billed although the call failed, `usage`, `cost_usd` and `request_id`
say what is known, so that the platform's loss is on record.
"""

from decimal import Decimal
from typing import ClassVar
from uuid import UUID

from bottega.core.errors import AppError
from bottega.llm.types import Usage


class ProviderError(AppError):
    code = "provider_error"
    http_status = 502
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        retry_after_seconds: float | None = None,
        usage: Usage | None = None,
        cost_usd: Decimal | None = None,
        request_id: str | None = None,
        partial: str = "",
        key_fingerprint: str = "",
        key_id: UUID | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.retry_after_seconds = retry_after_seconds
        self.usage = usage
        self.cost_usd = cost_usd
        self.request_id = request_id
        self.partial = partial
        self.key_fingerprint = key_fingerprint
        self.another_key_ready = False
        self.key_id = key_id


class RateLimited(ProviderError):
    code = "rate_limited"
    retryable = True


class OutOfQuota(ProviderError):
    code = "out_of_quota"


class PaymentRequired(OutOfQuota):
    code = "payment_required"


class Overloaded(ProviderError):
    code = "overloaded"
    retryable = True


class Disconnected(Overloaded):
    code = "disconnected"


class Stalled(ProviderError):
    code = "stalled"
    retryable = True


class Interrupted(ProviderError):
    code = "interrupted"
    retryable = True


class AuthenticationFailed(ProviderError):
    code = "authentication_failed"


class RequestRejected(ProviderError):
    code = "request_rejected"


class Refused(ProviderError):
    code = "refused"


class MalformedResponse(ProviderError):
    code = "malformed_response"
    retryable = True
