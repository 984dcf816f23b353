import pytest

from stepline.client.address import checked_address, is_local
from stepline.client.errors import SteplineError
from stepline.client.transport import Transport


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://gpu-host:8000/", "http://gpu-host:8000"),
        (" gpu-host:8000 ", "http://gpu-host:8000"),
        ("https://host/stepline", "https://host/stepline"),
        ("[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_address_gets_a_scheme_and_no_trailing_slash(given: str, expected: str) -> None:
    assert checked_address(given) == expected


@pytest.mark.parametrize(
    "given", ["", "http://", "ftp://host", "http://[::1", "host:port", "h:99999"]
)
def test_an_invalid_address_is_an_error_that_shows_a_valid_one(given: str) -> None:
    with pytest.raises(SteplineError, match="Use, for example, http"):
        checked_address(given)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost", True),
        ("http://[::1]:8000", True),
        ("http://192.168.0.7", False),
        ("http://localhost.example.com", False),
    ],
)
def test_only_addresses_of_this_machine_are_local(address: str, expected: bool) -> None:
    assert is_local(address) is expected


@pytest.mark.parametrize("key", ["two words", "密钥", "line\nbreak"])
def test_a_key_that_no_header_can_contain_is_an_error_that_does_not_show_it(key: str) -> None:
    with pytest.raises(SteplineError) as error:
        Transport("http://127.0.0.1:8000", api_key=key)

    assert key not in str(error.value)
