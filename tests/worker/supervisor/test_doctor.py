from pydantic import SecretStr

from tests.worker.supervisor.scripted_server import ScriptedServer, refusal
from worker.settings import Settings
from worker.supervisor import doctor


def test_a_host_name_that_the_server_does_not_allow_is_a_note_and_not_a_fault() -> None:
    with ScriptedServer(refusal(421, "host_not_allowed")) as server:
        settings = Settings(server_url=server.url, worker_token=SecretStr("t"))
        found = doctor._server(settings)

    assert found.verdict == "note"
    assert "127.0.0.1" in found.what
    assert "STEPLINE_ALLOWED_HOSTS" in found.what
