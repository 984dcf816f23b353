"""What each part that `stepline up` starts gets of its environment: no more than it needs, secrets above all."""

from collections.abc import Mapping

from processes.environment import BASIC, COMPUTE, HUB, WORKER_TOKEN, choose

SETTINGS = "STEPLINE_*"
NEEDS: Mapping[str, tuple[str, ...]] = {
    "broker": BASIC,
    "migrate": (*BASIC, SETTINGS),
    "api": (*BASIC, SETTINGS, WORKER_TOKEN),
    # The hub's token goes from the worker to the process that downloads, and nowhere else.
    "worker": (*BASIC, SETTINGS, WORKER_TOKEN, *COMPUTE, *HUB),
}
"""Names of variables, by the part that gets them."""


def environment_of(part: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a part gets."""
    return choose(environ, *NEEDS[part])
