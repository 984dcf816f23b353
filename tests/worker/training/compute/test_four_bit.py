"""bitsandbytes is imported without torch's compiler, and torch.compile is unchanged afterwards."""

import subprocess
import sys


def test_the_training_program_starts_without_loading_the_compiler() -> None:
    program = (
        "import sys, torch\nbefore = torch.compile\n"
        "import worker.training.compute, worker.training.run\n"
        "assert torch.compile is before\n"
        "print(*sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    loaded = done.stdout.split()
    assert "bitsandbytes" in loaded
    assert "torch._inductor.compile_fx" not in loaded
