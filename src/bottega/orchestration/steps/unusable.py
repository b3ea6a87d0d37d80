"""What happens when a model's text cannot be used: it is told why and asked again, at most three times in a row.

The first of a row is charged like any reply; whoever asked again and got nothing better pays nothing for it.
"""

from bottega.agents.types import UnusableReply
from bottega.llm.errors import Refused
from bottega.orchestration.events import ReplyUnusable, RunStopped
from bottega.orchestration.state import RunState, StepKind, StopCode
from bottega.orchestration.steps.types import Situation, StepResult
from bottega.orchestration.transitions import UNUSABLE_REPLIES

RETRY_CHOICES = ("resume: ask once more", "cancel: stop here; what was accepted stays")
WITHHELD = "The provider withheld the reply ({message}). Answer the same request again, in plain and neutral words."


def is_last_try(situation: Situation) -> bool:
    return situation.misses + 1 >= UNUSABLE_REPLIES


def forgiven(situation: Situation) -> str | None:
    """Return why an unusable reply is not charged, or None for the first in a row, which is."""
    return "malformed_reply" if situation.misses else None


def as_output(error: UnusableReply) -> dict[str, object]:
    """Return what the journal keeps of an unusable reply, for the Repair of the next try."""
    return {"reply": error.reply, "complaint": error.complaint, "truncated": error.truncated}


def ask_again(error: UnusableReply, *, kind: StepKind, situation: Situation) -> StepResult:
    """Journal the unusable reply, so that the next step of the same kind carries it as a repair."""
    return StepResult(
        outcome="unusable",
        output=as_output(error),
        forgiven=forgiven(situation),
        events=(ReplyUnusable(kind=kind, task_key=situation.task_key, complaint=error.complaint),),
    )


def ask_again_or_stop(error: UnusableReply | Refused, *, kind: StepKind, situation: Situation) -> StepResult:
    """For the Architect, who has no ladder: after the third unusable reply the person is asked."""
    if isinstance(error, Refused):
        error = UnusableReply(WITHHELD.format(message=error.message), reply="")
    if not is_last_try(situation):
        return ask_again(error, kind=kind, situation=situation)
    reason = f"The Architect's reply could not be used {UNUSABLE_REPLIES} times in a row: {error.complaint}"
    stopped = RunStopped(stop_code=StopCode.UNUSABLE_REPLIES, reason=reason, choices=RETRY_CHOICES)
    return StepResult(
        outcome="gave_up",
        output=as_output(error),
        state=RunState.ATTENTION,
        stop_code=StopCode.UNUSABLE_REPLIES,
        reason=reason,
        forgiven=forgiven(situation),
        events=(stopped,),
    )
