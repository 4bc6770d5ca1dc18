"""What load generators saw, and how rounds are put together."""

import pytest

from scripts.bench.serving.drive import Drive, Drives


def _drive(rate: float, *, statuses: dict[int, int] | None = None, broken: int = 0) -> Drive:
    return Drive(rate, 1.0, 2.0, 1000 / rate, 4.0, statuses or {200: round(rate)}, broken)


def test_a_ratio_is_the_median_of_rounds_beside_each_other() -> None:
    # The machine was slow in the second round, for both alike; in the third only for the other.
    ours = Drives([_drive(300), _drive(30), _drive(300)])
    theirs = Drives([_drive(100), _drive(10), _drive(50)])
    assert ours.ratio_to(theirs) == pytest.approx(3)
    assert ours.rate == 300
    assert ours.p99_ms == pytest.approx(1000 / 300)


def test_rounds_of_different_numbers_are_not_compared() -> None:
    with pytest.raises(ValueError, match="zip"):
        Drives([_drive(1)]).ratio_to(Drives([_drive(1), _drive(1)]))


def test_whatever_is_no_good_answer_counts_as_refused() -> None:
    drives = Drives([_drive(10, statuses={200: 90, 201: 5, 429: 3, 503: 2}, broken=4), _drive(10, broken=1)])
    assert drives.refused == 10
    assert str(drives).endswith("10 without a good answer")
