"""Which executor does which step, which model it will ask, and which workers it is for."""

from collections.abc import Mapping

from bottega.llm.types import ModelName
from bottega.orchestration.doorbell import Lane
from bottega.orchestration.state import StepKind
from bottega.orchestration.steps.check import check
from bottega.orchestration.steps.commit import commit
from bottega.orchestration.steps.implement import implement, model_for
from bottega.orchestration.steps.package import package
from bottega.orchestration.steps.planning import gather, plan
from bottega.orchestration.steps.readme import check_readme, commit_readme, write_readme
from bottega.orchestration.steps.types import Executor, Situation, Workbench
from bottega.orchestration.steps.verify import verify

EXECUTORS: Mapping[StepKind, Executor] = {
    StepKind.GATHER: gather,
    StepKind.PLAN: plan,
    StepKind.IMPLEMENT: implement,
    StepKind.CHECK: check,
    StepKind.VERIFY: verify,
    StepKind.COMMIT: commit,
    StepKind.README: write_readme,
    StepKind.CHECK_README: check_readme,
    StepKind.COMMIT_README: commit_readme,
    StepKind.PACKAGE: package,
}

ARCHITECT_STEPS = frozenset({StepKind.GATHER, StepKind.PLAN, StepKind.VERIFY, StepKind.README})


SANDBOX_STEPS = frozenset({StepKind.CHECK, StepKind.CHECK_README})


def lane_of(kind: StepKind) -> Lane:
    return Lane.SANDBOX if kind in SANDBOX_STEPS else Lane.STEPS


def model_of(kind: StepKind, situation: Situation, bench: Workbench) -> ModelName | None:
    """Return the model a step will ask, or None when it asks none."""
    if kind in ARCHITECT_STEPS:
        return bench.architect_model
    return model_for(situation, bench) if kind is StepKind.IMPLEMENT else None
