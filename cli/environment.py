"""Which environment variables `stepline up` passes to each part: only those that the part needs, above all secrets."""

from collections.abc import Mapping

from processes.environment import BASIC, COMPUTE, HUB, WORKER_TOKEN, choose

SETTINGS = "STEPLINE_*"
NEEDS: Mapping[str, tuple[str, ...]] = {
    "broker": BASIC,
    "migrate": (*BASIC, SETTINGS),
    "api": (*BASIC, SETTINGS, WORKER_TOKEN),
    # The worker passes the hub's token to the download process and to no other.
    "worker": (*BASIC, SETTINGS, WORKER_TOKEN, *COMPUTE, *HUB),
}
"""Names of variables, by part."""


def environment_of(part: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for a part."""
    return choose(environ, *NEEDS[part])
