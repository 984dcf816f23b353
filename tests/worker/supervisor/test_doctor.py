from pydantic import SecretStr

from tests.worker.supervisor.scripted_server import ScriptedServer, error_answer
from worker.settings import Settings
from worker.supervisor import doctor


def test_the_doctor_notes_a_host_name_that_the_server_does_not_allow() -> None:
    with ScriptedServer(error_answer(421, "host_not_allowed")) as server:
        settings = Settings(server_url=server.url, worker_token=SecretStr("t"))
        found = doctor._server(settings)

    assert found.verdict == "note"
    assert "127.0.0.1" in found.what
    assert "STEPLINE_ALLOWED_HOSTS" in found.what
