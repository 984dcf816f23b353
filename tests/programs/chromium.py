"""A real Chromium for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

PROGRAMS = ("/usr/bin/chromium-headless-shell", "/usr/bin/chromium")
"""The shell has the same engine without windows, and takes less than half of the processor time."""
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def running_chromium(*arguments: str) -> Iterator[Browser]:
    """Start a browser; close it at the end of the block.

    Playwright's sync API allows only one browser per process, and none while an asyncio loop runs,
    so a session fixture must not hold a browser.
    """
    expect.set_options(
        timeout=30_000
    )  # on a loaded machine, the API reference takes more than five seconds to draw
    program = next(path for path in PROGRAMS if Path(path).exists())
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=[*ARGUMENTS, *arguments])
        try:
            yield browser
        finally:
            browser.close()
