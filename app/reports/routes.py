"""The public route for a job's report."""

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import PlainTextResponse

from app.db.engine import DatabaseDep
from app.http.negotiation.formats import Formats
from app.http.negotiation.language import LanguageDep
from app.reports import service
from app.reports.schemas import SummaryView

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["history"])

Accept = Annotated[str | None, Header(include_in_schema=False)]
SUMMARY = Formats(json="application/json", text="text/plain", markdown="text/markdown")
FormatName = Query(alias="format", max_length=20)


@router.get("/summary", response_model=SummaryView, responses={200: {"content": SUMMARY.content}})
def get_summary(
    *,
    job_id: str,
    database: DatabaseDep,
    language: LanguageDep,
    lang: Literal["en", "zh"] | None = None,
    accept: Accept = None,
    requested_format: Annotated[str | None, FormatName, SUMMARY.names] = None,
) -> Response:
    """Return the final report as JSON, boxed text or Markdown."""
    kind = SUMMARY.choose(accept, requested_format)
    with database.reading() as session:
        summary = service.get_summary(session, job_id, language)
    if kind in {"text", "markdown"}:
        from app.reports import boxed  # noqa: PLC0415  # imported here because wcwidth's tables would slow down startup

        if kind == "text":
            return PlainTextResponse(boxed.render_report(summary, lang or language))
        text = boxed.render_markdown(summary, lang or language)
        return PlainTextResponse(text, media_type="text/markdown")
    view = SummaryView.in_language(summary, lang or language)
    return Response(view.model_dump_json(), media_type="application/json")
