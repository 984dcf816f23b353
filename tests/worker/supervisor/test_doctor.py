from pydantic import SecretStr

from tests.worker.supervisor.scripted_server import ScriptedServer, refusal
from worker.settings import Settings
from worker.supervisor import doctor


def test_a_server_that_does_not_know_its_name_is_no_fault_of_the_worker() -> None:
    with ScriptedServer(refusal(421, "host_not_allowed")) as server:
        settings = Settings(server_url=server.url, worker_token=SecretStr("t"))
        found = doctor._server(settings)

    assert found.verdict == "note"
    assert "127.0.0.1" in found.what
    assert "STEPLINE_ALLOWED_HOSTS" in found.what
