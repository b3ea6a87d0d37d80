"""Where a project stands, and from where to where it may go.

`MOVES` is the whole truth: a move that is not in it raises. A working status can be interrupted (paused, out of
credits, needing attention) and taken up again wherever the run's own step says. `cancelled` and `failed` are final;
`completed` is too, except that a person may ask for a refinement, which goes back to implementing. From there a
delivered project can only become completed again: with the refinement, or without it.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from bottega.core.errors import AppError


class ProjectStatus(StrEnum):
    GATHERING_REQUIREMENTS = "gathering_requirements"
    PLANNING = "planning"
    AWAITING_APPROVAL = "awaiting_approval"
    IMPLEMENTING = "implementing"
    AWAITING_VERIFICATION = "awaiting_verification"
    AWAITING_REFINEMENT = "awaiting_refinement"
    VERIFICATION_COMPLETE = "verification_complete"
    README_GENERATION = "readme_generation"
    README_FAILED = "readme_failed"
    COMPLETED = "completed"
    PAUSED = "paused"
    AWAITING_CREDITS = "awaiting_credits"
    ATTENTION = "attention"
    CANCELLED = "cancelled"
    FAILED = "failed"


class IllegalMove(AppError):
    code = "illegal_move"
    http_status = 409

    def __init__(self, *, current: ProjectStatus, to: ProjectStatus) -> None:
        super().__init__(f"A project that is {_words(current)} cannot become {_words(to)}.")
        self.current = current
        self.to = to


def move(*, current: ProjectStatus, to: ProjectStatus, delivered: bool = False) -> ProjectStatus:
    """Return `to`, or raise IllegalMove. Staying is not a move: a repeated step may say again where it is.

    A project that was `delivered` before can be completed again from any work on it, and is never cancelled.
    """
    allowed = MOVES[current]
    if delivered and current not in FINAL:
        allowed = (allowed | {ProjectStatus.COMPLETED}) - _GIVEN_UP
    if to is not current and to not in allowed:
        raise IllegalMove(current=current, to=to)
    return to


def _words(status: ProjectStatus) -> str:
    return status.value.replace("_", " ")


_S = ProjectStatus

_FORWARD: Mapping[ProjectStatus, frozenset[ProjectStatus]] = {
    _S.GATHERING_REQUIREMENTS: frozenset({_S.PLANNING}),
    _S.PLANNING: frozenset({_S.AWAITING_APPROVAL, _S.GATHERING_REQUIREMENTS}),
    _S.AWAITING_APPROVAL: frozenset({_S.IMPLEMENTING, _S.PLANNING}),  # back: the person wants another plan
    _S.IMPLEMENTING: frozenset({_S.AWAITING_VERIFICATION, _S.AWAITING_REFINEMENT}),
    _S.AWAITING_VERIFICATION: frozenset({_S.IMPLEMENTING, _S.AWAITING_REFINEMENT, _S.VERIFICATION_COMPLETE}),
    _S.AWAITING_REFINEMENT: frozenset({_S.IMPLEMENTING, _S.README_GENERATION}),  # the last task was dropped
    _S.VERIFICATION_COMPLETE: frozenset({_S.README_GENERATION}),
    _S.README_GENERATION: frozenset({_S.README_FAILED, _S.COMPLETED}),
    _S.README_FAILED: frozenset({_S.README_GENERATION}),
}

WORKING: frozenset[ProjectStatus] = frozenset(_FORWARD)
INTERRUPTIONS: frozenset[ProjectStatus] = frozenset({_S.PAUSED, _S.AWAITING_CREDITS, _S.ATTENTION})
FINAL: frozenset[ProjectStatus] = frozenset({_S.COMPLETED, _S.CANCELLED, _S.FAILED})
_GIVEN_UP: frozenset[ProjectStatus] = frozenset({_S.CANCELLED, _S.FAILED})

MOVES: Mapping[ProjectStatus, frozenset[ProjectStatus]] = MappingProxyType(
    {
        **{status: forward | INTERRUPTIONS | _GIVEN_UP for status, forward in _FORWARD.items()},
        **{status: WORKING | (INTERRUPTIONS - {status}) | _GIVEN_UP for status in INTERRUPTIONS},
        _S.COMPLETED: frozenset({_S.IMPLEMENTING}),
        _S.CANCELLED: frozenset(),
        _S.FAILED: frozenset(),
    },
)
