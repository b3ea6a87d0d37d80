from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from bottega.delivery import report
from bottega.delivery.report import Check, Quote, ReceiptLine, render_receipt, render_tests

TREE = "ab" * 20
OLDER = "cd" * 20


def check(
    *,
    command: str = "python -m unittest",
    executed: bool = True,
    passed: bool = True,
    exit_code: int | None = 0,
    tree_hash: str = TREE,
    tests_run: int | None = None,
    tests_skipped: int | None = None,
    reason: str = "",
) -> Check:
    return Check(
        task_key="T1",
        command=command,
        executed=executed,
        passed=passed,
        exit_code=exit_code,
        tests_run=tests_run,
        tests_skipped=tests_skipped,
        tree_hash=tree_hash,
        isolation="bubblewrap",
        reason=reason,
    )


def line(*, title: str = "Store notes", calls: int = 2, not_charged: int = 0, credits: str = "1.5") -> ReceiptLine:
    return ReceiptLine(
        task_key="T1",
        title=title,
        calls=calls,
        calls_not_charged=not_charged,
        input_tokens=12_345,
        output_tokens=678,
        credits=Decimal(credits),
    )


def receipt(*lines: ReceiptLine, quote: Quote | None = None) -> str:
    return render_receipt(title="Notes", lines=lines, quote=quote, credit_value_usd=Decimal("0.01"))


def test_the_report_says_what_ran_on_which_tree_and_how_it_ended() -> None:
    report = render_tests(
        title="Notes",
        delivered_tree=TREE,
        checks=[
            check(tests_run=12, tests_skipped=1),
            check(command="node --test", passed=False, exit_code=1, tree_hash=OLDER, reason="exit code 1"),
            check(executed=False, passed=False, exit_code=None, reason="no sandbox on this machine"),
        ],
    )
    assert report == (
        "# What was checked: Notes\n\n"
        "**3 commands: 1 not executed, 1 passed, 1 failed.**\n\n"
        f"Delivered tree: `{TREE}` (in a clone of the bundle: `git rev-parse HEAD^{{tree}}`). "
        "A check speaks for the tree it ran on; those on the delivered tree say so.\n\n"
        "| Task | Command | Result | Exit code | Tests | Tree | Isolation |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        "| T1 | `python -m unittest` | passed | 0 | 12 run, 1 skipped | `abababababab` (delivered) | bubblewrap |\n"
        "| T1 | `node --test` | **failed**: exit code 1 | 1 |  | `cdcdcdcdcdcd` | bubblewrap |\n"
        "| T1 | `python -m unittest` | **not executed**: no sandbox on this machine |  |  |"
        " `abababababab` (delivered) | bubblewrap |\n"
    )


def test_the_commands_of_the_readme_stand_one_below_the_other() -> None:
    script = replace(check(command="set -ex\npython -m notes --help\npytest", tests_run=0), task_key=None)
    report = render_tests(title="Notes", delivered_tree=TREE, checks=[script])
    assert "| README | `set -ex`<br>`python -m notes --help`<br>`pytest` | passed | 0 |  |" in report


def test_what_was_not_executed_never_reads_as_passed() -> None:
    report = render_tests(
        title="Notes", delivered_tree=TREE, checks=[check(executed=False, passed=True, tests_run=9, exit_code=None)]
    )
    assert "1 command: 1 not executed, 0 passed." in report
    assert "| passed" not in report
    assert "9 run" not in report


def test_a_project_without_checks_says_so() -> None:
    assert "**Nothing was checked" in render_tests(title="Notes", delivered_tree=TREE, checks=[])


def test_hostile_text_stays_in_its_cell() -> None:
    report = render_tests(
        title="x\n# passed",
        delivered_tree=TREE,
        checks=[check(command="echo `a` | tee\nb", passed=False, exit_code=1, reason="| **passed** |\n<b>")],
    )
    row = report.splitlines()[-1]
    assert row.startswith("| T1 | ``echo `a` \\| tee``<br>`b` | **failed**: \\| \\*\\*passed\\*\\* \\| \\<b\\> | 1 |")
    assert report.startswith("# What was checked: x \\# passed\n")


def test_a_receipt_lists_every_part_and_the_exact_total() -> None:
    text = receipt(
        line(credits="1.50000001"),
        line(title="Search notes", not_charged=1, credits="0.25"),
        quote=Quote(low=Decimal(1), high=Decimal("4.5")),
    )
    assert text == (
        "# Receipt: Notes\n\n"
        "| Part | Calls | Not charged | Tokens in | Tokens out | Credits |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n"
        "| T1 Store notes | 2 | 0 | 12,345 | 678 | 1.50000001 |\n"
        "| T1 Search notes | 2 | 1 | 12,345 | 678 | 0.25 |\n"
        "| **Total** | 4 | 1 | 24,690 | 1,356 | 1.75000001 |\n\n"
        "One credit is 0.01 USD; the whole is 0.0175000001 USD.\n\n"
        "Quoted before the work: 1.00 to 4.50 credits.\n\n"
        "A call costs what its provider bills for it times this installation's factor, in credits of 0.01 USD, rounded"
        " up once at the 8th decimal.\n\n"
        "Not charged: 1 call failed or cut off. What they cost is the platform's loss, not yours.\n"
    )


def test_a_receipt_says_what_was_not_charged_and_why_what_is_unbilled_and_what_own_keys_paid() -> None:
    lines = (
        replace(line(not_charged=3), causes={"failed at the provider": 2}, own_key_calls=2),
        replace(line(not_charged=1), causes={"failed at the provider": 1}, unbilled=Decimal("0.25")),
    )
    notes = report.receipt_notes(lines, credit_value_usd=Decimal("0.01"))
    loss = "What they cost is the platform's loss, not yours."
    assert notes[1:] == [
        "Paid by a key of your own, and charged here as a fee only: 2 calls.",
        f"Not charged: 3 calls failed at the provider; 1 call failed or cut off. {loss}",
        "Not billed, because neither what was set aside nor the balance covered it: 0.25.",
    ]


def test_a_receipt_of_nothing_is_zero() -> None:
    assert "| **Total** | 0 | 0 | 0 | 0 | 0.00 |" in receipt()


@given(st.lists(st.decimals(min_value=0, max_value=1000, places=8), max_size=6))
def test_the_column_of_credits_adds_up_to_the_total(amounts: list[Decimal]) -> None:
    text = receipt(*(line(credits=str(amount)) for amount in amounts))
    column = [Decimal(row.split("|")[-2].strip()) for row in text.splitlines() if row.startswith("| T1")]
    total = next(Decimal(row.split("|")[-2].strip()) for row in text.splitlines() if row.startswith("| **Total**"))
    assert column == amounts
    assert sum(column, Decimal(0)) == total
