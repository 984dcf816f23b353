"""Marks that select which databases a test runs on: usually one always, and the other only with --slow."""

import pytest


def _on(*kinds: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("running_cluster", kinds, indirect=True, scope="session")


def _slow(kind: str) -> object:
    return pytest.param(kind, marks=pytest.mark.slow)


on_sqlite_first = _on("sqlite", _slow("postgresql"))
on_postgresql_first = _on("postgresql", _slow("sqlite"))
on_postgresql = _on("postgresql")
slow_on_both = _on(_slow("sqlite"), _slow("postgresql"))
slow_on_postgresql = _on(_slow("postgresql"))
