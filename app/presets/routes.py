"""The public route that lists presets."""

from fastapi import APIRouter, Response

from app.http.negotiation.language import LanguageDep
from app.http.paging import Page
from app.presets import service
from app.presets.schemas import PresetView

router = APIRouter(prefix="/v1/presets", tags=["presets"])


@router.get("")
def list_presets(response: Response, language: LanguageDep) -> Page[PresetView]:
    """List all presets, with the settings of each."""
    response.headers["Vary"] = "Accept-Language"
    return Page(data=service.list_presets(language), has_more=False, cursor=None)
