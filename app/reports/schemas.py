"""The report as users see it: the summary with its verdicts as text."""

from pydantic import PrivateAttr, computed_field

from app.reports.verdict_words import verdict_hint, verdict_message
from contracts.failure import Language
from contracts.summary import Summary
from contracts.verdicts.verdict import Verdict


class VerdictView(Verdict):
    """A verdict in the caller's language."""

    message: str
    """The verdict as text, including the values on which it is based."""
    hint: str | None
    """Recommended action; null if there is none."""


class SummaryView(Summary):
    """The summary of a successful job, with its verdicts in the caller's language."""

    _language: Language = PrivateAttr("en")

    @classmethod
    def in_language(cls, summary: Summary, language: Language) -> "SummaryView":
        """Return the summary with its verdicts in a language."""
        view = cls.model_construct(**dict(summary))
        view._language = language  # noqa: SLF001  # its own private attribute
        return view

    @computed_field  # type: ignore[prop-decorator]  # the decorator order that pydantic documents
    @property
    def adapter_step(self) -> int:
        """Step of the saved adapter: the last step, or an earlier one if early stopping restored the best adapter."""
        return super().adapter_step

    @computed_field  # type: ignore[prop-decorator]  # the decorator order that pydantic documents
    @property
    def verdicts(self) -> list[VerdictView]:  # type: ignore[override]  # read-only, so a list of a subclass is fine
        """The verdicts on the results. They are also computed for summaries from earlier versions."""
        return [
            VerdictView(
                code=verdict.code,
                level=verdict.level,
                figures=verdict.figures,
                message=verdict_message(verdict, self._language),
                hint=verdict_hint(verdict, self._language),
            )
            for verdict in super().verdicts
        ]
