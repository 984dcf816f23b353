from starlette.datastructures import Headers

from app.edge.origins import TrustedOrigins

FOREIGN = Headers({"origin": "https://evil.example", "sec-fetch-site": "cross-site"})


def test_a_star_in_cors_origins_allows_every_origin_to_write() -> None:
    assert TrustedOrigins(["*"]).allow("POST", FOREIGN, None)
    assert not TrustedOrigins([]).allow("POST", FOREIGN, None)


def test_a_local_file_may_write_only_if_the_null_origin_is_trusted() -> None:
    headers = Headers({"origin": "null", "sec-fetch-site": "cross-site"})

    assert TrustedOrigins(["null"]).allow("POST", headers, None)
    assert not TrustedOrigins(["https://a.example"]).allow("POST", headers, None)


def test_without_a_host_header_no_origin_counts_as_same_origin() -> None:
    headers = Headers({"origin": "http://localhost"})

    assert not TrustedOrigins([]).allow("POST", headers, None)
