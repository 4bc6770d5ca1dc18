"""When a process that embeds asks Ray for a GPU."""

import pytest

from cluster.gpus import gpus_to_ask_for
from vectoray.core.errors import Unavailable
from vectoray.embedding.device import DeviceChoice


@pytest.mark.parametrize(
    ("device", "cluster_gpus", "asked"),
    [("auto", 0, 0), ("auto", 2, 0.5), ("cpu", 2, 0), ("gpu", 1, 0.5)],
)
def test_a_part_of_a_gpu_is_asked_for_where_there_is_one_and_it_is_wanted(
    device: DeviceChoice, cluster_gpus: float, asked: float
) -> None:
    assert gpus_to_ask_for(device, 0.5, cluster_gpus=cluster_gpus, setting="") == asked


def test_a_gpu_that_is_wanted_and_not_there_is_refused_rather_than_waited_for() -> None:
    with pytest.raises(Unavailable, match=r"cluster\.embedder_device"):
        gpus_to_ask_for("gpu", 0.5, cluster_gpus=0, setting="cluster.embedder_device")
