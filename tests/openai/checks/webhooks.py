"""Checks of webhooks."""

import openai

from tests.openai.checks.case import Case, check, error_of


@check("webhooks.unwrap")
def the_webhook_of_the_finished_job_is_verified(case: Case) -> None:
    headers, body = case.webhook()

    event = case.client.webhooks.unwrap(body, headers, secret=case.secret)

    assert (event.type, event.data.id) == ("fine_tuning.job.succeeded", case.job.id)
    assert event.id == headers["webhook-id"]
    assert case.client.fine_tuning.jobs.retrieve(event.data.id).id == case.job.id
    forged = body.replace(b"succeeded", b"cancelled")
    error = error_of(lambda: case.client.webhooks.unwrap(forged, headers, secret=case.secret))
    assert isinstance(error, openai.InvalidWebhookSignatureError)


@check("webhooks.create")
def webhook_endpoints_are_created_and_changed_and_listed_and_deleted(case: Case) -> None:
    webhooks = case.client.webhooks
    url = "https://example.org/hook"

    made = webhooks.create(name="a", url=url, event_types=["fine_tuning.job.failed"])
    changed = webhooks.update(made.id, name="b")
    rotated = webhooks.rotate_secret(made.id)
    listed = [each.id for each in webhooks.list(limit=1)]

    assert (changed.name, webhooks.retrieve(made.id).url) == ("b", url)
    assert rotated.signing_secret != made.signing_secret
    assert made.id in listed
    assert len(set(listed)) == len(listed)
    assert webhooks.delete(made.id).deleted is True
