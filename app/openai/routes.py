"""All routes of OpenAI's API that this package serves."""

from fastapi import APIRouter

from app.openai import files, jobs, model_routes

router = APIRouter()
router.include_router(files.router)
router.include_router(jobs.router)
router.include_router(model_routes.router)
