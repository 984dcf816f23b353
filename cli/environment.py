"""The environment variables that `stepline up` passes to each part: only those it needs, so secrets are not shared."""

from collections.abc import Mapping

from processes.environment import BASIC, COMPUTE, HUB, WANDB, WORKER_TOKEN, choose

SETTINGS = "STEPLINE_*"
NEEDS: Mapping[str, tuple[str, ...]] = {
    "broker": BASIC,
    "migrate": (*BASIC, SETTINGS),
    "api": (*BASIC, SETTINGS, WORKER_TOKEN),
    # The worker passes the hub token only to its download process, and the key of W&B only to the mirror.
    "worker": (*BASIC, SETTINGS, WORKER_TOKEN, *COMPUTE, *HUB, *WANDB),
}
"""Variable names by part."""


def environment_of(part: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables for a part."""
    return choose(environ, *NEEDS[part])
