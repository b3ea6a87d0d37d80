from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.llm import foreign_json

SCALARS = st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=True) | st.text(max_size=5)
JSON = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=2), SCALARS, max_size=2)


@given(JSON)
def test_no_value_of_the_wrong_type_gets_through(value: foreign_json.Json) -> None:
    assert isinstance(foreign_json.as_map(value), dict)
    assert isinstance(foreign_json.as_list(value), list | tuple)
    assert isinstance(foreign_json.as_text(value), str)
    assert 0 <= foreign_json.as_count(value) <= foreign_json.LARGEST_COUNT
    amount = foreign_json.as_amount(value)
    assert amount is None or 0 <= amount <= foreign_json.LARGEST_AMOUNT


def test_numbers_keep_their_digits() -> None:
    assert foreign_json.parse('{"cost": 0.1000000000000000055511151231257827}') == {
        "cost": Decimal("0.1000000000000000055511151231257827")
    }


@pytest.mark.parametrize(
    "text", ["{", "NaN", "Infinity", "[" * 100_000, "1" * 5000, b"\xff\xfe", "1e99999999999999999999"]
)
def test_what_is_not_json_says_so(text: str | bytes) -> None:
    with pytest.raises(foreign_json.NotJson):
        foreign_json.parse(text)


def test_a_plain_copy_holds_no_decimals() -> None:
    assert foreign_json.plain({"cost": Decimal("0.10"), "n": 1}) == {"cost": "0.10", "n": 1}
