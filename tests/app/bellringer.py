"""A doorbell without a broker."""

from app.config.settings import Settings
from app.doorbell import Doorbell


class Bellringer(Doorbell):
    """A doorbell that only records its rings."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.rung: list[str] = []

    def ring(self, queue: str, times: int = 1) -> None:
        self.rung += [queue] * times
