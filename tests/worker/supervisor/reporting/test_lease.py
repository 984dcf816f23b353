from worker.supervisor.reporting.lease import Lease


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _lease(clock: Clock) -> Lease:
    return Lease(sync_seconds=10, flush_seconds=0.5, clock=clock)


def test_new_data_is_sent_soon_and_an_idle_attempt_syncs_rarely() -> None:
    clock = Clock()
    lease = _lease(clock)

    assert not lease.is_due(has_news=True)
    clock.now += 0.5
    assert lease.is_due(has_news=True)
    assert not lease.is_due(has_news=False)
    clock.now += 9.5
    assert lease.is_due(has_news=False)


def test_pauses_grow_with_each_failure_up_to_the_sync_interval() -> None:
    clock = Clock()
    lease = _lease(clock)
    pauses = []
    for _ in range(8):
        lease.trying()
        lease.failed()
        pause = 0.0
        while not lease.is_due(has_news=True):
            clock.now += 0.125
            pause += 0.125
        pauses.append(pause)

    assert pauses[0] <= 1.375
    assert pauses[2] > pauses[0]
    assert max(pauses) <= 12.625


def test_a_successful_sync_resets_the_pause() -> None:
    clock = Clock()
    lease = _lease(clock)
    for _ in range(5):
        lease.trying()
        lease.failed()
    lease.trying()
    lease.renewed()

    clock.now += 0.5
    assert lease.is_due(has_news=True)
