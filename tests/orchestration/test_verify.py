from bottega.agents.types import CriterionVerdict, Verdict
from bottega.orchestration.steps.verify import note


def test_an_implementer_is_told_which_criteria_are_not_met_and_why() -> None:
    criteria = (
        CriterionVerdict(criterion="Sums are exact", met=True, reason="test_sums passed"),
        CriterionVerdict(criterion="Products are named", met=False, reason="m/s*kg reads back as another unit"),
    )
    told = note(verdict=Verdict(approved=False, criteria=criteria, feedback="Write symbols factor by factor."))
    assert told == (
        "Write symbols factor by factor.\n\nNot met:\n- Products are named: m/s*kg reads back as another unit"
    )
