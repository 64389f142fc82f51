"""The end of the outage that the tests before this one ran in."""

from __future__ import annotations

from tests.compose.outage import Outage
from tests.compose.stack import ComposeStack


def test_nothing_fails_while_the_storage_is_away(stack: ComposeStack, outage: Outage) -> None:
    outage.end()
    assert outage.states <= {"queued", "running"}
    assert outage.states, "somebody looked"
    for job_id in outage.jobs:
        job = stack.until_ended(job_id)
        assert (job["state"], job["attempt"], job["attempt_errors"]) == ("succeeded", 1, []), job["error"]
