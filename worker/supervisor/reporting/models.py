"""ModelReporter: reports this worker's models to the server, initially and after each change."""

from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from contracts.model_facts import ModelFacts, split_report
from worker.supervisor.host.models.models_root import ModelCatalog
from worker.supervisor.server.answers import Refused, ServerUnavailable
from worker.supervisor.server.client import Server

log = structlog.get_logger(__name__)


class ModelReporter:
    """Sends a report if it differs from the last one that the server accepted."""

    def __init__(
        self,
        models_dir: Path | None,
        worker_id: str,
        list_snapshots: Callable[[], Mapping[str, Path]] = dict,
    ) -> None:
        self._catalog = ModelCatalog(models_dir, list_snapshots=list_snapshots)
        self._worker_id = worker_id
        self._accepted: tuple[list[ModelFacts], bool] | None = None
        self._last_problem = ""

    def report(self, server: Server) -> None:
        """Report the models. If that fails, the next call tries again; older servers reject every report."""
        try:
            models = self._catalog.read()
            found = (models, self._catalog.has_unread)
            if found != self._accepted:
                for report in split_report(self._worker_id, models, has_unread=found[1]):
                    server.report_models(report)
                self._accepted, self._last_problem = found, ""
        except (OSError, ServerUnavailable, Refused) as error:
            problem = f"{type(error).__name__}: {error}"
            if problem != self._last_problem:
                log.warning("could not report the models", reason=problem)
            self._last_problem = problem

    def forget(self) -> None:
        """Report again after the next hello, because the server may now use a different database."""
        self._accepted = None
