"""Public routes that list workers."""

from fastapi import APIRouter

from app.db.engine import DatabaseDep, database_now
from app.http.paging import Page
from app.workers import service
from app.workers.service import WorkerView

router = APIRouter(prefix="/v1/workers", tags=["workers"])


@router.get("")
def list_workers(database: DatabaseDep) -> Page[WorkerView]:
    """List every worker that has sent a hello within the last seven days."""
    with database.reading() as session:
        views = service.list_workers(session, database_now(session))
    return Page(data=views, has_more=False, cursor=None)
