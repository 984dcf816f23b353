"""All routes of OpenAI's API that this package serves."""

from fastapi import APIRouter

from app.openai import model_routes
from app.openai.files import routes as files
from app.openai.jobs import routes as jobs

router = APIRouter()
router.include_router(files.router)
router.include_router(jobs.router)
router.include_router(model_routes.router)
