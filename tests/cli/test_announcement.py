"""The lines that `stepline up` prints about a service that has just started."""

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from cli.announcement import SHOWN_MODELS, describe_service
from cli.main import main
from cli.models_dir import ModelsDir

GPU = {"kind": "cuda", "name": "NVIDIA L4", "uuid": "GPU-1", "memory_bytes": 24 * 2**30}


def describe(
    path: Path, device: dict[str, Any], models: list[str], *, has_more: bool = False
) -> dict[str, str]:
    """Return the lines, keyed by their first word, for an API with one live worker and these models."""
    answers: dict[str, Any] = {
        "/v1/workers": {"data": [{"live": True, "device": device}, {"live": False, "device": GPU}]},
        "/v1/models": {"data": [{"id": name} for name in models], "has_more": has_more},
    }
    lines = describe_service("http://127.0.0.1:8000", ModelsDir(path, None), answers.get)
    return {name: rest for name, _, rest in (line.strip().partition("  ") for line in lines)}


def test_the_gpu_and_the_models_are_named(tmp_path: Path) -> None:
    found = describe(tmp_path, GPU, ["team/a", "b"])

    assert found["device"] == "NVIDIA L4, 24.0 GiB"
    assert found["models"] == f"team/a, b (in {tmp_path})"
    assert "http://127.0.0.1:8000/new" in found["next"]


def test_a_long_list_of_models_is_cut_and_control_characters_are_escaped(tmp_path: Path) -> None:
    found = describe(tmp_path, GPU, ["a\x1b[2J", *map(str, range(SHOWN_MODELS + 2))])

    assert "\x1b" not in found["models"]
    assert "and 3 more" in found["models"]
    found = describe(tmp_path, GPU, list(map(str, range(SHOWN_MODELS + 2))), has_more=True)
    assert "and at least 2 more" in found["models"]


@pytest.mark.parametrize(("name", "shown"), [("", "CPU"), ("Intel Xeon", "Intel Xeon")])
def test_a_cpu_is_named_and_an_empty_models_root_is_reported_with_advice(
    tmp_path: Path, name: str, shown: str
) -> None:
    found = describe(tmp_path, {"kind": "cpu", "name": name, "memory_bytes": 1}, [])

    assert found["device"].startswith(f"{shown} (no GPU is used")
    assert found["models"].startswith(f"none in {tmp_path} yet")


def test_the_version_of_the_command_is_that_of_the_package(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"stepline {metadata.version('stepline')}\n"
