import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nvml import build_stub, uuid_of, with_gpus
from worker.supervisor.host.cards.gpus import Card, CardNotFound, select_cards

LIST = """
import json, os
from worker.supervisor.host.cards.device import DeviceMissing, find_devices
try:
    found = find_devices(os.environ["REQUESTED"], os.environ, os.environ.get("STEPLINE_GPUS"))
    print(json.dumps([device.uuid for device in found]))
except DeviceMissing as error:
    print(json.dumps(str(error)))
"""


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stub(tmp_path_factory.mktemp("nvml"))


def find(stub: Path, gpus: str, requested: str = "auto", **environ: str) -> list[str | None] | str:
    """Return the uuids that a worker finds (a CPU has none), or its error."""
    done = subprocess.run(
        [sys.executable, "-c", LIST],
        env={"PATH": os.environ["PATH"], "REQUESTED": requested} | with_gpus(stub, gpus) | environ,
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str | None] | str = json.loads(done.stdout.splitlines()[-1])
    return found


def card(index: str, uuid: str, gpu_uuid: str = "") -> Card:
    return Card(index=index, uuid=uuid, gpu_uuid=gpu_uuid or uuid, name="A100", memory_bytes=1)


TWO = [card("0", "GPU-8932f937-aa"), card("1", "GPU-8932f940-bb")]
MIG = [
    card("0", "GPU-1"),
    card("1:0", "MIG-a", "GPU-2"),
    card("1:1", "MIG-b", "GPU-2"),
    card("2:0", "MIG-c", "GPU-3"),
]


def selected(cards: list[Card], gpus: str | None, visible: str | None = None) -> list[str]:
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    return [card.index for card in select_cards(cards, environ, gpus)]


@pytest.mark.parametrize(
    ("value", "indexes"),
    [
        ("0", ["0"]),
        ("1,0", ["1", "0"]),
        (" 1 , 1 ", ["1"]),
        ("GPU-8932f940-bb", ["1"]),
        ("GPU-8932f937", ["0"]),
        ("gpu-8932F94", ["1"]),
        ("1,GPU-8932f940", ["1"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),
    ],
)
def test_both_settings_accept_indexes_uuids_and_uuid_prefixes(
    value: str, indexes: list[str]
) -> None:
    assert selected(TWO, value) == indexes
    assert selected(TWO, None, value) == indexes


def test_all_cards_are_selected_by_default_and_stepline_gpus_overrides_cuda_visible_devices() -> (
    None
):
    assert selected(TWO, None) == ["0", "1"]
    assert selected(TWO, "0", visible="1") == ["0"]


@pytest.mark.parametrize(
    ("value", "indexes"),
    [
        ("MIG-b", ["1:1"]),
        ("1:0,0", ["1:0", "0"]),
        ("2", ["2:0"]),
        ("GPU-3", ["2:0"]),
    ],
)
def test_mig_instances_are_selected_like_gpus(value: str, indexes: list[str]) -> None:
    assert selected(MIG, value) == indexes


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("2", "no GPU"),
        ("GPU-77", "no GPU"),
        ("NoDevFiles", "no GPU"),
        ("-2", "no GPU"),
        ("G", "no GPU"),
        ("GPU-8932f9", "2 GPUs"),
        ("0,GPU-", "2 GPUs"),
    ],
)
def test_an_entry_that_does_not_match_exactly_one_card_is_an_error_that_lists_the_cards(
    value: str, count: str
) -> None:
    with pytest.raises(CardNotFound) as caught:
        select_cards(TWO, {"CUDA_VISIBLE_DEVICES": value}, None)

    message = str(caught.value)
    assert message.startswith("CUDA_VISIBLE_DEVICES: ")
    assert repr(value.rsplit(",", maxsplit=1)[-1]) in message
    assert count in message
    assert "1 (A100, GPU-8932f940-bb)" in message
    with pytest.raises(CardNotFound, match="STEPLINE_GPUS"):
        select_cards(TWO, {}, value)


def test_a_gpu_with_several_mig_instances_is_ambiguous() -> None:
    with pytest.raises(CardNotFound, match="2 GPUs"):
        select_cards(MIG, {}, "1")


def test_a_host_offers_the_mig_instances_of_a_gpu_in_place_of_the_gpu(stub: Path) -> None:
    a, b, c = (uuid_of(number) for number in range(3))

    assert find(stub, f"{a} {b}:MIG-1,MIG-2 {c}") == [a, "MIG-1", "MIG-2", c]
    assert find(stub, f"{a} {b}", CUDA_VISIBLE_DEVICES=b[:6]) == [b]
    assert find(stub, f"{a} {b}", STEPLINE_GPUS="1,0") == [b, a]


def test_the_cpu_of_a_host_with_gpus_is_used_only_if_the_user_chooses_it(stub: Path) -> None:
    gpus = f"{uuid_of(0)} {uuid_of(1)}"

    assert find(stub, gpus, requested="cpu") == [None]
    assert find(stub, gpus, CUDA_VISIBLE_DEVICES="") == [None]
    assert find(stub, gpus, CUDA_VISIBLE_DEVICES="-1") == [None]
    assert find(stub, "lost", CUDA_VISIBLE_DEVICES="-1") == [None], (
        "choosing the CPU needs no driver"
    )
    assert "no GPU is visible" in find(stub, gpus, requested="cuda", CUDA_VISIBLE_DEVICES="")
    assert "CUDA_VISIBLE_DEVICES: 'GPU-7'" in find(stub, gpus, CUDA_VISIBLE_DEVICES="GPU-7")
    assert "no MIG instance" in find(stub, f"{uuid_of(0)}:")


def test_a_gpu_that_cannot_be_read_is_left_out_unless_it_is_the_only_one(stub: Path) -> None:
    assert find(stub, f"lost {uuid_of(1)}") == [uuid_of(1)]
    assert find(stub, f"lost {uuid_of(1)}", STEPLINE_GPUS="1") == [uuid_of(1)]
    error = find(stub, "lost")
    assert "GPU is lost" in error
    assert "STEPLINE_DEVICE" in error
