"""The table as people read it."""

import pytest

from scripts.bench.measurement import Figure, Measurement
from scripts.bench.table import number, render


def test_columns_are_aligned_and_notes_run_over_them() -> None:
    note = "measured once, on a machine that did nothing else, after a warm-up"
    table = render(
        [
            Measurement("a", (Figure("writes", 3000, 3421.4, "/s"),), (note,)),
            Measurement(
                "b", (Figure("opening", 0.5, 0.75, "s", at_most=True), Figure("bulk", 6000, None, "/s"))
            ),
        ]
    )
    assert table.splitlines() == [
        "what        required   reached",
        "writes   >= 3,000 /s  3,421 /s  ok",
        f"    {note}",
        "opening  <= 0.5000 s  0.7500 s  MISSED",
        "bulk     >= 6,000 /s            not run",
    ]


def test_a_row_that_failed_says_why() -> None:
    lines = render([Measurement("reopen", error="took longer than 900 s")]).splitlines()
    assert lines[1].startswith("reopen")
    assert lines[1].endswith("FAILED")
    assert lines[2] == "    took longer than 900 s"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.98765, "0.9877"), (1.25, "1.25"), (42.123, "42.1"), (99.94, "99.9"), (123456.7, "123,457")],
)
def test_numbers_have_the_digits_that_can_be_told_apart(value: float, text: str) -> None:
    assert number(value) == text
