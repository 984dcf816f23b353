"""The program's setup before it imports torch."""

import subprocess
import sys

import pytest

ADVICE = (
    "Failed to load CPU gemm_4bit_forward from kernels-community: %s. Please `pip install kernels`"
)


def _printed(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_only_the_advice_to_install_an_inference_kernel_is_removed_from_the_output() -> None:
    # The test logs bitsandbytes' own line, because bitsandbytes logs it only on processors with AVX512-BF16.
    printed = _printed(
        "import logging\n"
        "from worker.training.__main__ import prepare_environment\n"
        "prepare_environment()\n"
        "log = logging.getLogger('bitsandbytes.backends.cpu.ops')\n"
        f"log.warning({ADVICE!r}, 'no module')\n"
        "log.warning('this processor is unknown')\n"
    )

    assert printed == "this processor is unknown\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "expandable_segments:True None"),
        ({"PYTORCH_ALLOC_CONF": "own"}, "own None"),
        ({"PYTORCH_CUDA_ALLOC_CONF": "own"}, "None own"),
    ],
    ids=str,
)
def test_the_allocator_uses_expandable_segments_unless_the_user_configured_it(
    given: dict[str, str], expected: str
) -> None:
    printed = _printed(
        "import os\n"
        "for name in ('PYTORCH_ALLOC_CONF', 'PYTORCH_CUDA_ALLOC_CONF'):\n"
        "    os.environ.pop(name, None)\n"
        f"os.environ.update({given!r})\n"
        "from worker.training.__main__ import prepare_environment\n"
        "prepare_environment()\n"
        "print(os.environ.get('PYTORCH_ALLOC_CONF'), os.environ.get('PYTORCH_CUDA_ALLOC_CONF'))\n"
    )

    assert printed == f"{expected}\n"
