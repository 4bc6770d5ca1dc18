"""Which device is chosen, and that looking for one costs nothing where none is offered."""

import subprocess
import sys

import pytest

from vectoray.core.errors import Unavailable
from vectoray.embedding import device
from vectoray.embedding.device import DeviceChoice, choose_device


@pytest.mark.parametrize(
    ("wanted", "offered", "usable", "chosen"),
    [
        ("auto", True, True, "gpu"),
        ("auto", True, False, "cpu"),
        ("auto", False, True, "cpu"),
        ("cpu", True, True, "cpu"),
        ("gpu", True, True, "gpu"),
    ],
)
def test_a_gpu_is_taken_when_it_is_offered_usable_and_not_declined(
    monkeypatch: pytest.MonkeyPatch, *, wanted: DeviceChoice, offered: bool, usable: bool, chosen: str
) -> None:
    monkeypatch.setattr(device, "_torch_sees_a_gpu", lambda: usable)
    assert choose_device(wanted, gpu_offered=offered) == chosen


@pytest.mark.parametrize(("offered", "usable"), [(True, False), (False, True)])
def test_a_wanted_gpu_that_cannot_be_used_is_an_error(
    monkeypatch: pytest.MonkeyPatch, *, offered: bool, usable: bool
) -> None:
    monkeypatch.setattr(device, "_torch_sees_a_gpu", lambda: usable)
    with pytest.raises(Unavailable, match="No GPU can be used"):
        choose_device("gpu", gpu_offered=offered)


def test_without_an_offer_torch_is_not_imported() -> None:
    script = (
        "import sys; from vectoray.embedding.device import choose_device;"
        "print(choose_device('auto', gpu_offered=False), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["cpu", "False"]
