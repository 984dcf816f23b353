import pytest

from cli.environment import environment_of
from contracts.attempt import Device
from processes.environment import COMPUTE
from worker.supervisor.child.process import child_environment

SHELL = {
    "PATH": "/usr/bin",
    "LC_TIME": "C",
    "HF_TOKEN": "hf",
    "HF_HOME": "/hub",
    "https_proxy": "http://user:password@proxy",
    "CUDA_VISIBLE_DEVICES": "1",
    "BNB_CUDA_VERSION": "128",
    "STEPLINE_BROKER_URL": "redis://",
    "STEPLINE_WORKER_TOKEN": "token",
    "STEPLINE_SOMETHING_SECRET": "unused",
    "NVIDIA_API_KEY": "nv",
    "WANDB_API_KEY": "wb",
    "WANDB_MODE": "offline",
    "DATABASE_URL": "postgresql://user:password@host",
}
EVERYBODY = {"PATH", "LC_TIME"}


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("broker", set()),
        ("migrate", {"STEPLINE_BROKER_URL"}),
        ("api", {"STEPLINE_BROKER_URL", "STEPLINE_WORKER_TOKEN"}),
        (
            "worker",
            {
                "STEPLINE_BROKER_URL",
                "STEPLINE_WORKER_TOKEN",
                "HF_TOKEN",
                "HF_HOME",
                "https_proxy",
                "CUDA_VISIBLE_DEVICES",
                "BNB_CUDA_VERSION",
                "WANDB_API_KEY",
                "WANDB_MODE",
            },
        ),
    ],
)
def test_each_part_gets_only_the_variables_it_needs(part: str, names: set[str]) -> None:
    assert set(environment_of(part, SHELL)) == EVERYBODY | names


def test_the_worker_gets_every_variable_that_the_training_program_may_use() -> None:
    shell = {pattern.replace("*", "X"): "1" for pattern in COMPUTE}

    given = environment_of("worker", shell)

    assert set(given) == set(shell)
    assert set(child_environment([Device()], given)) >= set(shell)


def test_the_training_program_gets_no_secret_and_no_address() -> None:
    given = child_environment([Device()], environment_of("worker", SHELL))

    assert given.keys() & SHELL.keys() == EVERYBODY | {"CUDA_VISIBLE_DEVICES", "BNB_CUDA_VERSION"}
