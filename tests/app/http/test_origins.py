from starlette.datastructures import Headers

from app.edge.origins import TrustedOrigins

FOREIGN = Headers({"origin": "https://evil.example", "sec-fetch-site": "cross-site"})


def test_with_cors_for_everybody_everybody_may_write() -> None:
    assert TrustedOrigins(["*"]).allow("POST", FOREIGN, None)
    assert not TrustedOrigins([]).allow("POST", FOREIGN, None)


def test_a_file_may_write_only_when_null_is_named() -> None:
    headers = Headers({"origin": "null", "sec-fetch-site": "cross-site"})

    assert TrustedOrigins(["null"]).allow("POST", headers, None)
    assert not TrustedOrigins(["https://a.example"]).allow("POST", headers, None)


def test_without_a_host_no_origin_is_its_own() -> None:
    headers = Headers({"origin": "http://localhost"})

    assert not TrustedOrigins([]).allow("POST", headers, None)
