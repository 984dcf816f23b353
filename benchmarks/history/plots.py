"""Reads curves for plots, and measures the plots and polls of a very long job."""

import time
from typing import Any

from benchmarks.filling.points import PLOT_POINTS, timed
from benchmarks.history.server import Server
from benchmarks.history.steps import SPIKE, fill_ours
from contracts.attempt import Claim


def read_ours(server: Server, job: Claim, label: str, query: str = "") -> dict[str, float]:
    """Read a curve for a plot repeatedly; return the times and the size of the response."""
    path = f"/v1/jobs/{job.job_id}/metrics?names=loss&max_points={PLOT_POINTS}{query}"
    figures, size = timed(lambda: server.client.get(path).raise_for_status().content, 60)
    print(f"stepline: a plot of {label}: {figures}, {size} bytes")
    return figures | {"bytes": size}


def measure_large(server: Server, steps: int) -> dict[str, Any]:
    """Measure a very long job: its plot, a zoomed plot, its polls, and whether the plot shows its spike."""
    began = time.perf_counter()
    claim = fill_ours(server, steps, spike=steps * 2 // 3)
    seconds = time.perf_counter() - began
    plot = read_ours(server, claim, f"{steps} steps")
    zoom = read_ours(
        server,
        claim,
        f"1 % of {steps} steps",
        f"&from_step={steps // 2}&to_step={steps // 2 + steps // 100}",
    )
    path = f"/v1/jobs/{claim.job_id}/metrics?names=loss"
    answer = server.client.get(path).json()
    since, _ = timed(
        lambda: server.client.get(f"{path}&since={answer['cursor']}").raise_for_status().content,
        200,
    )
    is_visible = SPIKE in answer["series"]["loss"]["value"]
    print(f"stepline: polls: {since}; the spike is {'visible' if is_visible else 'LOST'}")
    return {
        "steps": steps,
        "records_per_second": round(steps / seconds),
        "plot": plot,
        "zoom": zoom,
        "since": since,
        "spike_seen": is_visible,
    }
