"""Health checks: whether the process is alive, and whether it can serve requests."""

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database, DatabaseDep
from app.doorbell import DoorbellDep
from app.migrate import missing_migrations
from app.storage.data_dir import Storage, StorageDep

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process is alive."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """State of the server's dependencies. The broker is reported but not required, because jobs can wait for it."""

    ready: bool
    database: str
    storage: str
    broker: str


@router.get("/healthz")
async def get_health() -> Health:
    """Report that the process is alive. Nothing else is checked."""
    return Health()


@router.get("/readyz", responses={503: {"model": Readiness}}, response_model=Readiness)
def get_readiness(
    database: DatabaseDep, storage: StorageDep, doorbell: DoorbellDep
) -> JSONResponse:
    """Report whether the database is reachable and migrated, and whether the storage is writable."""
    found = Readiness(
        ready=False,
        database=_check_database(database),
        storage=_check_storage(storage),
        broker=doorbell.state,
    )
    is_ready = found.database == found.storage == "ok"
    content = found.model_copy(update={"ready": is_ready}).model_dump()
    return JSONResponse(content, status_code=200 if is_ready else 503)


def _check_database(database: Database) -> str:
    try:
        with database.reader.connect() as connection:
            connection.execute(text("SELECT 1"))
        return missing_migrations(database) or "ok"
    except SQLAlchemyError as error:
        return f"unreachable ({type(error).__name__})"


def _check_storage(storage: Storage) -> str:
    try:
        storage.check_writable()
    except OSError as error:
        return f"not writable ({error.strerror})"
    return "ok"
