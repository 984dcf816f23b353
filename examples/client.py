"""A client for the HTTP API that needs only the standard library: upload a dataset, submit a job, follow it, download.

    python examples/client.py http://127.0.0.1:8000 examples/alpaca.json examples/first_job.json OUT_DIR

The client sets the job's `dataset.train` to the dataset's id. Copy this file wherever you need it: it does not import Stepline.
"""

import http.client
import json
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FINAL = ("succeeded", "failed", "cancelled", "paused")


def printable(text: str) -> str:
    """Make untrusted text safe to print by escaping control characters."""
    kept = "\n\t\u200d\u3000"  # except the emoji joiner and the ideographic space
    return "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text)


class ApiError(Exception):
    """An error response from the API: its message and HTTP status."""

    def __init__(self, status: int, body: bytes) -> None:
        try:
            error = json.loads(body)["error"]
            text = " ".join(filter(None, [error["message"], error.get("hint")]))
        except (ValueError, KeyError, TypeError):
            text = body.decode(errors="replace")[:500]
        super().__init__(f"{status}: {printable(text)}")
        self.status = status


class Client:
    """A client of one service. Bypasses proxies if the service is on this machine."""

    def __init__(self, url: str, timeout_seconds: float = 60.0) -> None:
        self.url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        local = "//127.0.0.1" in self.url or "//localhost" in self.url
        proxies = [urllib.request.ProxyHandler({})] if local else []
        self._opener = urllib.request.build_opener(*proxies)

    def upload(self, file: Path, seconds: float = 1.0) -> str:
        """Upload a dataset; return its id. Uploading the same bytes again returns the same id.

        The server checks a large file after the response, so this polls its status every `seconds`. Raises ValueError if
        the file is rejected then.
        """
        boundary = uuid.uuid4().hex
        # Escape the name as browsers do.
        name = file.name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head = (
            f"--{boundary}\r\nContent-Disposition: form-data; "
            f'name="file"; filename="{name}"\r\n\r\n'
        )
        body = head.encode() + file.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        kind = f"multipart/form-data; boundary={boundary}"
        dataset = self._json("POST", "/v1/datasets", body, {"Content-Type": kind})
        while dataset["status"] == "validating":
            time.sleep(seconds)
            dataset = self._json("GET", f"/v1/datasets/{dataset['id']}")
        if dataset["status"] == "failed":
            raise ValueError(printable(dataset["failure"]["message"]))
        return str(dataset["id"])

    def submit(self, spec: dict[str, Any]) -> str:
        """Submit a job; return its id. Its idempotency key makes the request safe to retry."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
        return str(self._json("POST", "/v1/jobs", json.dumps(spec).encode(), headers)["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Return the job with its status and progress."""
        return self._json("GET", f"/v1/jobs/{job_id}")

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancel a job and return it. It becomes `cancelled` once its process has ended."""
        return self._json("POST", f"/v1/jobs/{job_id}/cancel")

    def follow(
        self, job_id: str, seconds: float = 1.0
    ) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Yield the job and all of its loss points so far, about every `seconds`, until the job has ended."""
        points: list[dict[str, Any]] = []
        since = ""
        while True:
            job = self.job(job_id)  # read before the losses, so that no loss is missed
            page = self._json("GET", f"/v1/jobs/{job_id}/loss?since={since}")
            if page.get("rewind_to_step") is not None:  # a new attempt restarted from that step
                points = [point for point in points if point["step"] <= page["rewind_to_step"]]
            points += page["data"]
            since = page["cursor"] or since
            yield job, points
            if job["status"] in FINAL:
                return
            time.sleep(seconds)

    def metrics(
        self, job_id: str, names: str = "loss,eval_loss", seconds: float | None = None
    ) -> Iterator[tuple[dict[str, Any], dict[str, dict[int, float | None]]]]:
        """Yield each response and all points so far, by series, until the job has ended.

        The first response is sampled (by default 1,000 points per series); later ones contain only new points. A
        non-finite value is None. `seconds` overrides the interval that the server suggests.
        """
        series: dict[str, dict[int, float | None]] = {}
        since = ""
        while True:
            page = self._json("GET", f"/v1/jobs/{job_id}/metrics?names={names}{since}")
            if page["rewind_to_step"] is not None:  # a new attempt restarted from that step
                for name, points in series.items():
                    series[name] = {s: v for s, v in points.items() if s <= page["rewind_to_step"]}
            for name, columns in page["series"].items():
                pairs = zip(columns["step"], columns["value"], strict=True)
                series.setdefault(name, {}).update(pairs)
            since = f"&since={page['cursor']}"
            yield page, series
            if page["poll_after_seconds"] is None:
                return
            time.sleep(page["poll_after_seconds"] if seconds is None else seconds)

    def listen(self, job_id: str, since: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (event, data) pairs from the job's stream until the job has ended; reconnect without missing an event."""
        last_id = ""
        while True:
            headers = {"Last-Event-ID": last_id} if last_id else {}
            path = f"/v1/jobs/{job_id}/stream" + (f"?since={since}" if since else "")
            try:
                with self._open("GET", path, headers=headers) as response:
                    if response.status == 204:
                        return
                    fields: dict[str, str] = {}
                    for raw in response:
                        name, _, value = raw.decode().rstrip("\n").partition(": ")
                        if name:
                            fields[name] = value
                            continue
                        last_id = fields.get("id", last_id)
                        if "data" in fields:
                            yield fields["event"], json.loads(fields["data"])
                        if fields.get("event") == "done":
                            return
                        fields = {}
            except (OSError, http.client.HTTPException):
                pass  # the server is unavailable: reconnect; no event is lost
            time.sleep(1.0)

    def report(self, job_id: str, language: str = "en") -> str:
        """Return the boxed report of a job that succeeded, in `en` or `zh`."""
        path = f"/v1/jobs/{job_id}/summary?lang={language}"
        body: bytes = self._open("GET", path, headers={"Accept": "text/plain"}).read()
        return body.decode()

    def summary(self, job_id: str) -> dict[str, Any]:
        """Return the figures of a job that succeeded."""
        return self._json("GET", f"/v1/jobs/{job_id}/summary")

    def download(self, job_id: str, name: str, target: Path) -> None:
        """Download one artifact, such as `adapter.zip`."""
        with (
            self._open("GET", f"/v1/jobs/{job_id}/artifacts/{name}") as response,
            target.open("wb") as file,
        ):
            while block := response.read(1 << 20):
                file.write(block)

    def _json(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        content: dict[str, Any] = json.load(self._open(method, path, body, headers))
        return content

    def _open(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        request = urllib.request.Request(  # noqa: S310  # the caller provides the address
            self.url + path, body, headers or {}, method=method
        )
        try:
            return self._opener.open(request, timeout=self._timeout_seconds)
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, error.read()) from error


def rows_of(job: dict[str, Any]) -> str | None:
    """Return a job's progress in a phase that counts rows; None in every other phase."""
    rows = job["progress"].get("rows")
    if rows is None:
        return None
    left = "" if rows["seconds_left"] is None else f", {round(rows['seconds_left'])} s left"
    return f"{job['phase']}: {rows['done']} of {rows['total']} rows{left}"


def main(url: str, dataset: Path, job: Path, out_dir: Path) -> int:
    """Upload rows, run one job, and download its adapter; return the exit status."""
    client = Client(url)
    spec = json.loads(job.read_text(encoding="utf-8"))
    spec["dataset"]["train"] = client.upload(dataset)
    job_id = client.submit(spec)
    print(f"Submitted {job_id} with dataset {spec['dataset']['train']}")
    shown, last_rows = 0, ""
    for state, points in client.follow(job_id):
        rows = rows_of(state)
        if rows is not None and rows != last_rows:
            last_rows = rows
            print(rows)
        for point in points[shown:]:
            print(f"step {point['step']}: loss {point['loss']}")
        shown = len(points)
    state = client.job(job_id)
    if state["status"] != "succeeded":
        print(f"{state['status']}: {state['error']}", file=sys.stderr)
        return 1
    out_dir.mkdir(parents=True, exist_ok=True)
    client.download(job_id, "adapter.zip", out_dir / "adapter.zip")
    print(client.report(job_id))
    print(f"The adapter is in {out_dir / 'adapter.zip'}.")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])))
