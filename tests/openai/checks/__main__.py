"""Run all checks with the installed version of the client.

    python -m tests.openai.checks URL ROWS_FILE

Prints one JSON object: the version and, for each check, null if it passed, "absent" if this version of the client lacks
what it needs, or a traceback.
"""

import json
import sys
import traceback
from pathlib import Path

import openai

from tests.openai.checks import errors, files, jobs, webhooks  # noqa: F401  # they add the checks
from tests.openai.checks.case import CHECKS, Case, Check, open_case


def main(url: str, rows: Path) -> None:
    """Print the results."""
    with open_case(url, rows.read_bytes()) as case:
        ordered = sorted(CHECKS.items(), key=lambda item: item[1].is_last)
        results = {name: _run(each, case) for name, each in ordered}
    sys.stdout.write(json.dumps({"version": openai.__version__, "results": results}))


def _run(each: Check, case: Case) -> str | None:
    if each.is_absent(case.client):
        return "absent"
    try:
        each.run(case)
    except Exception:  # noqa: BLE001  # the caller shows the reason
        return traceback.format_exc()
    return None


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
