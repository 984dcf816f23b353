"""The comparison of jobs when some do not exist or have very long names."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.app.player import Player
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]


def test_missing_jobs_are_named_and_requested_only_once(visit: Visit, site: Site) -> None:
    visitor = visit()
    visitor.may_fail = True
    requested: list[str] = []
    visitor.page.on("request", lambda request: requested.append(request.url.rsplit("/", 1)[1]))
    page = visitor.go(f"/compare?ids={site.running},job_missing")

    expect(page.get_by_role("alert")).to_contain_text("Job job_missing does not exist")
    expect(page.get_by_label("Results", exact=True)).to_contain_text("running")
    expect(page.locator("main")).not_to_contain_text("have the same settings")
    expect(page.locator("main")).not_to_contain_text("Comparison of")
    # The other job is still running, so the page requests it again.
    with page.expect_response(lambda response: response.url.endswith(site.running)):
        pass
    assert requested.count("job_missing") == 1


def test_a_long_name_does_not_push_out_the_other_columns(visit: Visit, site: Site) -> None:
    player = Player(site.service.client)
    name = "a-name-without-end-" * 6
    jobs = [player.submit(queue="unused", name=f"{name}{n}") for n in range(3)]
    visitor = visit()
    page = visitor.go(f"/compare?ids={','.join(jobs)}")
    results = page.get_by_label("Results", exact=True)

    expect(results.get_by_title(f"{name}2", exact=True)).to_be_visible()
    fits = "element => element.scrollWidth <= element.clientWidth"
    assert results.locator(".scroll").evaluate(fits)
    for job in jobs:
        assert site.service.client.delete(f"/v1/jobs/{job}").is_success
