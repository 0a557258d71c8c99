"""The report of permissions finds what is missing and what is to spare."""

from tests.permissions import report
from tests.permissions.report import Provoked, Unused
from tests.permissions.telling import Denied, Granted, Told

READ = Granted("ReaderRole Policy0 0", "s3:GetObject", "bucket/*")
WRITE = Granted("WriterRole Policy0 1", "s3:PutObject", "bucket/*")
NO_READ = Denied("ReaderRole", "s3:GetObject", "bucket/x", "because no identity-based policy allows it")
NO_WRITE = Denied("WriterRole", "s3:PutObject", "bucket/x", "because no identity-based policy allows it")
WHY = "because it is so"


def told(*grants: tuple[Granted, int, set[Denied]], denied: list[Denied] | None = None) -> Told:
    found = Told(sum(calls for _, calls, _ in grants))
    for grant in grants:
        found.add(*grant)
    found.denied.update(denied or [])
    return found


def test_what_is_used_and_missed_is_right() -> None:
    found = told((READ, 3, {NO_READ}), (WRITE, 1, {NO_WRITE}))

    assert report.findings(found, [], []) == []
    assert "2 of 2 times some call was refused" in "\n".join(report.lines(found, [], []))


def test_what_is_granted_and_not_used_needs_a_reason() -> None:
    found = told((READ, 0, set()), (WRITE, 1, {NO_WRITE}))

    assert report.findings(found, [], []) == ["is granted and not used: ReaderRole Policy0 0: s3:GetObject on bucket/*"]
    assert report.findings(found, [Unused("ReaderRole", ("s3:GetObject",), WHY)], []) == []
    assert len(report.findings(found, [Unused("Reader", ("s3:GetObject",), WHY)], [])) == 2


def test_a_reason_may_be_for_a_policy_of_every_role() -> None:
    shared = [Granted(f"{role} Logs 0", "logs:PutLogEvents", "*") for role in ("ReaderRole", "WriterRole")]
    found = told((READ, 3, {NO_READ}), *((granted, 0, set()) for granted in shared))

    assert len(report.findings(found, [], [])) == 2
    assert report.findings(found, [Unused("*Role Logs", ("logs:PutLogEvents",), WHY)], []) == []


def test_what_is_granted_twice_needs_a_reason() -> None:
    found = told((READ, 3, set()))

    (finding,) = report.findings(found, [], [])

    assert finding.startswith("is granted once more than needed")
    assert report.findings(found, [Unused("ReaderRole Policy0", ("s3:GetObject",), WHY)], []) == []


def test_what_is_denied_needs_a_reason() -> None:
    found = told((WRITE, 1, {NO_WRITE}), denied=[NO_READ, NO_READ])
    reason = Provoked("ReaderRole", "s3:GetObject", "bucket/?", "no identity-based", WHY)

    (finding,) = report.findings(found, [], [])

    assert finding.startswith("was denied 2 times: ReaderRole: s3:GetObject on bucket/x")
    assert report.findings(found, [], [reason]) == []


def test_a_grant_is_not_missed_by_calls_that_may_be_denied() -> None:
    found = told((READ, 3, {NO_READ}), denied=[NO_READ])

    (finding,) = report.findings(
        found, [], [Provoked("ReaderRole", "s3:GetObject", "bucket/?", "no identity-based", WHY)]
    )

    assert finding.startswith("is granted once more than needed")


def test_a_reason_for_nothing_is_wrong() -> None:
    found = told((READ, 3, {NO_READ}))
    reasons = (
        [Unused("ReaderRole", ("s3:GetObject",), WHY)],
        [Provoked("ReaderRole", "s3:PutObject", "bucket/*", "explicit deny", WHY)],
    )

    assert report.findings(found, *reasons) == [
        "is a reason for nothing: ReaderRole: s3:GetObject",
        "is a reason for nothing: ReaderRole: s3:PutObject on bucket/*, explicit deny",
    ]


def test_what_processes_wrote_down_is_put_together() -> None:
    together = Told()
    for each in (told((READ, 3, {NO_READ}), (WRITE, 0, set())), told((READ, 0, set()), denied=[NO_WRITE])):
        together.add_all(Told.read(each.written()))

    assert together.calls == {READ: 3, WRITE: 0}
    assert together.missed_by == {READ: {NO_READ}, WRITE: set()}
    assert together.denied == {NO_WRITE: 1}
    assert together.decided == 3
