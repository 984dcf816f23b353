import pytest
from pydantic import SecretStr

from contracts.attempt import Device
from tests.programs.ports import find_free_port
from tests.worker.supervisor.scripted_server import ScriptedServer, error_answer
from worker.settings import Settings, hub_address_problem, load_settings
from worker.supervisor import doctor


def test_the_doctor_reports_a_host_name_that_the_server_does_not_allow() -> None:
    with ScriptedServer(error_answer(421, "host_not_allowed")) as server:
        settings = Settings(server_url=server.url, worker_token=SecretStr("t"))
        found = doctor._server(settings)

    assert found.verdict == "note"
    assert "127.0.0.1" in found.what
    assert "STEPLINE_ALLOWED_HOSTS" in found.what


@pytest.mark.parametrize(
    ("cards", "line"),
    [
        (["A100"], None),
        (["A100", "A100", "T4"], "one job can use up to 2 GPUs, all of the same model"),
        (["A100", "A100"], "one job can use up to 2 GPUs"),
    ],
)
def test_the_doctor_says_how_many_gpus_one_job_can_use(cards: list[str], line: str | None) -> None:
    devices = [
        Device(kind="cuda", name=name, uuid=f"GPU-{number}") for number, name in enumerate(cards)
    ]

    found = doctor._several(devices, Settings())

    assert (found and found.what) == line


def test_the_doctor_does_not_count_mig_instances_and_reports_the_ranks_of_a_cpu() -> None:
    instances = [Device(kind="cuda", name="A100 MIG", uuid=f"MIG-{number}") for number in range(2)]
    assert doctor._several(instances, Settings()) is None

    found = doctor._several([Device()], Settings(cpu_ranks=2))
    assert found is not None
    assert found.what == "one job can train in up to 2 processes"


def test_the_doctor_accepts_a_local_server_and_broker_that_are_not_running_yet() -> None:
    port = find_free_port()
    here = Settings(server_url=f"http://127.0.0.1:{port}", broker_url=f"redis://localhost:{port}/0")
    for found in (doctor._server(here), doctor._broker(here)):
        assert found.verdict == "note"
        assert "stepline up" in found.what

    elsewhere = Settings(
        server_url=f"http://stepline.invalid:{port}",
        broker_url=f"redis://stepline.invalid:{port}/0",
    )
    assert doctor._server(elsewhere).verdict == "bad"
    assert "STEPLINE_BROKER_URL" in doctor._broker(elsewhere).what


@pytest.mark.parametrize("address", ["hf-mirror.com", "ftp://mirror", "https://", "http://a:x"])
def test_an_invalid_mirror_address_is_reported_and_stops_a_worker_that_uses_the_hub(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = doctor._hub(Settings(), {"HF_ENDPOINT": address})
    assert (found.verdict, "HF_ENDPOINT" in found.what) == ("bad", True)

    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("STEPLINE_WORKER_TOKEN", "t")
    with pytest.raises(SystemExit, match="HF_ENDPOINT"):
        load_settings()
    monkeypatch.setenv("STEPLINE_HUB", "false")
    load_settings()
    assert hub_address_problem({"HF_ENDPOINT": "https://hf-mirror.com/"}) is None
    assert hub_address_problem({}) is None
