"""The comparison of jobs of which some are not there, or have very long names."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.app.player import Player
from tests.web.conftest import Site, Visitor

Visit = Callable[..., Visitor]


def test_jobs_that_are_not_there_are_named_and_asked_for_once(visit: Visit, site: Site) -> None:
    visitor = visit()
    visitor.may_fail = True
    asked: list[str] = []
    visitor.page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[1]))
    page = visitor.go(f"/compare?ids={site.running},job_nobody")

    expect(page.get_by_role("alert")).to_contain_text("There is no job job_nobody")
    expect(page.get_by_label("Results", exact=True)).to_contain_text("running")
    expect(page.locator("main")).not_to_contain_text("have the same settings")
    expect(page.locator("main")).not_to_contain_text("Comparison of")
    # The other job goes on and is asked for again.
    with page.expect_response(lambda answer: answer.url.endswith(site.running)):
        pass
    assert asked.count("job_nobody") == 1


def test_a_long_name_leaves_room_for_the_other_columns(visit: Visit, site: Site) -> None:
    player = Player(site.service.client)
    name = "a-name-without-end-" * 6
    jobs = [player.submit(queue="nobody", name=f"{name}{n}") for n in range(3)]
    visitor = visit()
    page = visitor.go(f"/compare?ids={','.join(jobs)}")
    results = page.get_by_label("Results", exact=True)

    expect(results.get_by_title(f"{name}2", exact=True)).to_be_visible()
    fits = "element => element.scrollWidth <= element.clientWidth"
    assert results.locator(".scroll").evaluate(fits)
    for job in jobs:
        assert site.service.client.delete(f"/v1/jobs/{job}").is_success
