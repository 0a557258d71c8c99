"""What the product would be without one of its guarantees: each invariant must notice one of these."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

from promotion.history import claims, records, recovery, verification
from promotion.history.table import PromotionTable
from steps import apply_autoscaling, run_smoke_test
from tests.explorer.machine import Machine
from tests.explorer.schedules import Bounds


@dataclasses.dataclass(frozen=True)
class Mutation:
    """A guarantee that is undone, the invariant that notices it, and the scenario and the bounds in which it does."""

    invariant: str
    scenario: str
    bounds: Bounds
    undo: Callable[[Machine], AbstractContextManager[Any]]


def _wait_one_second(machine: Machine) -> AbstractContextManager[Any]:
    """A recovery does not wait for the functions of the interrupted promotion."""
    return mock.patch.dict(machine.states["Wait before rollback"], Seconds=1)


@contextlib.contextmanager
def _retry_at_once(machine: Machine) -> Iterator[None]:
    """A function that did not answer, and may still change the endpoint, is retried as after any transient error."""
    with contextlib.ExitStack() as stack:
        for state in machine.states.values():
            rules = [each for each in state.get("Retry", []) if not _is_about_no_answer(each)]
            stack.enter_context(mock.patch.dict(state, {"Retry": rules} if "Retry" in state else {}))
        yield


def _is_about_no_answer(rule: dict[str, Any]) -> bool:
    return all(error.startswith("Lambda.") for error in rule["ErrorEquals"]) and "Lambda.Unknown" in rule["ErrorEquals"]


@contextlib.contextmanager
def _do_not_look(machine: Machine) -> Iterator[None]:
    """Nobody compares the endpoint with the promotion after its deployment."""
    with mock.patch.object(run_smoke_test, "assert_serves"), mock.patch.object(apply_autoscaling, "assert_serves"):
        yield


def _do_not_recover(machine: Machine) -> AbstractContextManager[Any]:
    """The watch does not start recoveries."""
    return mock.patch.object(recovery, "recover_if_dead", return_value=False)


def _ignore_uses(machine: Machine) -> AbstractContextManager[Any]:
    """A removal does not read the claims of running executions."""
    return mock.patch.object(claims, "uses", return_value=[])


@contextlib.contextmanager
def _claim_after_reading(machine: Machine) -> Iterator[None]:
    """A rollback reads the resources of its target before it claims them."""
    claim, agree, late = claims.use, verification.assert_resources_agree, list[Any]()

    def agree_and_claim(*arguments: Any) -> None:
        agree(*arguments)
        claim(*late.pop())

    with (
        mock.patch.object(claims, "use", lambda *arguments: late.append(arguments)),
        mock.patch.object(verification, "assert_resources_agree", agree_and_claim),
    ):
        yield


def _ignore_removals(machine: Machine) -> AbstractContextManager[Any]:
    """A removal makes no claim, so that nobody waits for its end."""
    return mock.patch.object(claims, "begin_removal", return_value=None)


def _approve_again(machine: Machine) -> AbstractContextManager[Any]:
    """The use of an approval is written without a condition."""
    put = PromotionTable.put

    def put_always(self: PromotionTable, item: dict[str, Any], condition: str = "", **values: Any) -> bool:
        return put(self, item) if item["kind"] == "used-approval" else put(self, item, condition, **values)

    return mock.patch.object(PromotionTable, "put", put_always)


def _do_not_publish_later(machine: Machine) -> AbstractContextManager[Any]:
    """The watch does not publish the events of promotions that were interrupted."""
    return mock.patch.object(records, "unpublished", return_value=[])


def _count_as_done_before_the_record(machine: Machine) -> AbstractContextManager[Any]:
    """The promotion counts as finished before its record is written."""
    assigned = machine.states["Prepare promotion record"]["Assign"]
    return mock.patch.dict(assigned, promotion=assigned["record"])


def _acquire_always(machine: Machine) -> AbstractContextManager[Any]:
    """The lock is acquired without a condition."""
    put = PromotionTable.put

    def put_always(self: PromotionTable, item: dict[str, Any], condition: str = "", **values: Any) -> bool:
        return put(self, item) if item["kind"] == "lock" else put(self, item, condition, **values)

    return mock.patch.object(PromotionTable, "put", put_always)


def _acquire_again(machine: Machine) -> AbstractContextManager[Any]:
    """The execution that holds a lock can acquire it again, which overwrites its journal."""
    put = PromotionTable.put

    def put_again(self: PromotionTable, item: dict[str, Any], condition: str = "", **values: Any) -> bool:
        if item["kind"] == "lock":
            condition, values = f"{condition} OR execution = :execution", {"execution": item["execution"]}
        return put(self, item, condition, **values)

    return mock.patch.object(PromotionTable, "put", put_again)


MUTATIONS = {
    "two acquire the lock": Mutation("one holder changes", "two promotions", Bounds(), _acquire_always),
    "a recovery does not wait": Mutation("one holder changes", "update", Bounds(aborts=1), _wait_one_second),
    "a change is retried at once": Mutation("one holder changes", "update", Bounds(retries=1), _retry_at_once),
    "nobody looks again": Mutation("success is true", "update", Bounds(others=1), _do_not_look),
    "nobody recovers later": Mutation("locks end", "update", Bounds(aborts=1), _do_not_recover),
    "uses are ignored": Mutation("nothing needed is removed", "retention", Bounds(switches=1), _ignore_uses),
    "removals are not claimed": Mutation(
        "nothing needed is removed", "retention", Bounds(switches=1), _ignore_removals
    ),
    "resources are claimed late": Mutation(
        "nothing needed is removed", "retention", Bounds(switches=1), _claim_after_reading
    ),
    "approvals are valid again": Mutation("approvals are used once", "approval", Bounds(faults=1), _approve_again),
    "nobody publishes later": Mutation("endings are published once", "update", Bounds(aborts=1), _do_not_publish_later),
    "a journal is overwritten": Mutation("record agrees", "update", Bounds(aborts=1, retries=1), _acquire_again),
    "done before the record": Mutation("record agrees", "update", Bounds(faults=1), _count_as_done_before_the_record),
}
