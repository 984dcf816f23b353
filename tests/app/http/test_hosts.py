import pytest

from app.config.hosts import AllowedHosts, Authority, MalformedHost, parse_authority, parse_pattern
from app.config.settings import Settings


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("Gpu-Box", "gpu-box", None),
        ("gpu_box.example.:08000", "gpu_box.example", 8000),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("localhost:", "localhost", None),
        ("[2001:DB8:0::1]:80", "2001:db8::1", 80),
        ("[::ffff:192.0.2.7]", "192.0.2.7", None),
    ],
)
def test_a_host_is_parsed_and_normalized(text: str, host: str, port: int | None) -> None:
    assert parse_authority(text) == Authority(host, port)


@pytest.mark.parametrize(
    "text",
    ["", ".", ":80", "a..b", "-a", "a-.b", "a b", "a,b", "a@b", "a/b", "a:1:2", "a:99999", "::1", "[]",
     "[::1]x", "[1.2.3.4]", "[::1%1]", "a\n", "\uff41", "x" * 64, "a." * 127 + "a"],
)  # fmt: skip
def test_a_malformed_host_is_rejected(text: str) -> None:
    with pytest.raises(MalformedHost):
        parse_authority(text)


def test_a_host_name_with_lookalike_letters_is_rejected() -> None:
    with pytest.raises(MalformedHost):
        parse_authority("\u212aube.example")  # the Kelvin sign, which lower() turns into k


@pytest.mark.parametrize(
    ("listens_on", "hosts", "foreign"),
    [
        ("127.0.0.1", ["localhost", "127.0.0.1", "127.8.8.8", "::1"], ["192.0.2.7", "gpu-box"]),
        ("localhost", ["localhost", "::1"], ["192.0.2.7"]),
        ("192.0.2.7", ["localhost", "192.0.2.7"], ["192.0.2.8", "gpu-box", "192.0.2.7.evil.example"]),
        ("fe80::1%eth0", ["fe80::1"], ["fe80::2"]),
        ("Gpu-Box", ["gpu-box"], ["gpu-box.evil.example", "192.0.2.7"]),
        ("0.0.0.0", ["127.0.0.1", "192.0.2.7", "2001:db8::1"], ["gpu-box"]),  # noqa: S104  # not bound
        ("::", ["::1", "192.0.2.7"], ["gpu-box"]),
    ],
)  # fmt: skip
def test_the_listening_address_determines_the_allowed_hosts(
    listens_on: str, hosts: list[str], foreign: list[str]
) -> None:
    allowed = AllowedHosts(listens_on)

    assert [host for host in hosts if host not in allowed] == []
    assert [host for host in foreign if host in allowed] == []


def test_a_star_allows_every_host() -> None:
    allowed = AllowedHosts("127.0.0.1", ["*"])

    assert "evil.example" in allowed
    assert "192.0.2.7" in allowed


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("API", "api"),
        ("::1", "::1"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("*.Example.org", "*.example.org"),
        ("*", "*"),
    ],
)
def test_allowed_host_patterns_are_normalized(text: str, plain: str) -> None:
    assert parse_pattern(text) == plain


@pytest.mark.parametrize(
    "text",
    ["http://api", "api:8000", "api/", ".example.org", "*example.org", "a.*.b", "*.", "köln"],
)
def test_an_invalid_allowed_hosts_setting_is_rejected_with_a_clear_message(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPLINE_ALLOWED_HOSTS", f"api,{text}")

    with pytest.raises(ValueError, match="without a scheme, port or path"):
        Settings()
