"""The import of the client from a user's script."""

import os
import subprocess
import sys
from pathlib import Path

import stepline


def test_a_module_that_hides_ours_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "contracts.py").touch()
    script = tmp_path / "script.py"
    script.write_text("import stepline\nassert stepline.__all__\nfrom stepline import Client\n")
    root = Path(stepline.__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": str(root)}

    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: Stepline's package `contracts` is hidden by "
        f"{tmp_path / 'contracts.py'}. Rename that module."
    )
    (tmp_path / "contracts.py").unlink()
    subprocess.run([sys.executable, script], env=environment, check=True)
