"""Measurements during which others were busy are marked."""

from scripts.bench.measurement import Measurement
from scripts.bench.noise import with_noise


def test_a_measurement_says_when_others_were_busy() -> None:
    noisy = with_noise(Measurement("a", notes=("first",), details={"kept": 1}), 1.234)
    assert noisy.notes == ("first", "NOISY: other processes used 1.2 cores meanwhile")
    assert noisy.details == {"kept": 1, "cores_used_by_others": 1.23}


def test_what_others_hardly_used_is_kept_without_a_note() -> None:
    calm = with_noise(Measurement("a"), 0.04)
    assert calm.notes == ()
    assert calm.details == {"cores_used_by_others": 0.04}
