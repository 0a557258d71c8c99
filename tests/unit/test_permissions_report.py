"""The permissions report finds missing and unused permissions."""

from tests.permissions import report
from tests.permissions.report import Provoked, Unused
from tests.permissions.usage import Denied, Granted, Usage

READ = Granted("ReaderRole Policy0 0", "s3:GetObject", "bucket/*")
WRITE = Granted("WriterRole Policy0 1", "s3:PutObject", "bucket/*")
NO_READ = Denied("ReaderRole", "s3:GetObject", "bucket/x", "because no identity-based policy allows it")
NO_WRITE = Denied("WriterRole", "s3:PutObject", "bucket/x", "because no identity-based policy allows it")
REASON = "a test"


def usage(*grants: tuple[Granted, int, set[Denied]], denied: list[Denied] | None = None) -> Usage:
    found = Usage(sum(calls for _, calls, _ in grants))
    for grant in grants:
        found.add(*grant)
    found.denied.update(denied or [])
    return found


def test_a_used_and_required_grant_is_no_finding() -> None:
    found = usage((READ, 3, {NO_READ}), (WRITE, 1, {NO_WRITE}))

    assert report.findings(found, [], []) == []
    assert "without which a call would be denied: 2 of 2." in "\n".join(report.lines(found, [], []))


def test_an_unused_grant_requires_a_reason() -> None:
    found = usage((READ, 0, set()), (WRITE, 1, {NO_WRITE}))

    assert report.findings(found, [], []) == ["The grant is not used: ReaderRole Policy0 0: s3:GetObject on bucket/*"]
    assert report.findings(found, [Unused("ReaderRole", ("s3:GetObject",), REASON)], []) == []
    assert len(report.findings(found, [Unused("Reader", ("s3:GetObject",), REASON)], [])) == 2


def test_a_reason_can_cover_a_policy_of_every_role() -> None:
    shared = [Granted(f"{role} Logs 0", "logs:PutLogEvents", "*") for role in ("ReaderRole", "WriterRole")]
    found = usage((READ, 3, {NO_READ}), *((granted, 0, set()) for granted in shared))

    assert len(report.findings(found, [], [])) == 2
    assert report.findings(found, [Unused("*Role Logs", ("logs:PutLogEvents",), REASON)], []) == []


def test_a_grant_that_can_be_removed_requires_a_reason() -> None:
    found = usage((READ, 3, set()))

    (finding,) = report.findings(found, [], [])

    assert finding.startswith("The grant is not required")
    assert report.findings(found, [Unused("ReaderRole Policy0", ("s3:GetObject",), REASON)], []) == []


def test_a_denied_call_requires_a_reason() -> None:
    found = usage((WRITE, 1, {NO_WRITE}), denied=[NO_READ, NO_READ])
    reason = Provoked("ReaderRole", "s3:GetObject", "bucket/?", "no identity-based", REASON)

    (finding,) = report.findings(found, [], [])

    assert finding.startswith("The call was denied 2 times: ReaderRole: s3:GetObject on bucket/x")
    assert report.findings(found, [], [reason]) == []


def test_a_grant_is_not_required_by_calls_that_may_be_denied() -> None:
    found = usage((READ, 3, {NO_READ}), denied=[NO_READ])

    (finding,) = report.findings(
        found, [], [Provoked("ReaderRole", "s3:GetObject", "bucket/?", "no identity-based", REASON)]
    )

    assert finding.startswith("The grant is not required")


def test_an_obsolete_reason_is_a_finding() -> None:
    found = usage((READ, 3, {NO_READ}))
    reasons = (
        [Unused("ReaderRole", ("s3:GetObject",), REASON)],
        [Provoked("ReaderRole", "s3:PutObject", "bucket/*", "explicit deny", REASON)],
    )

    assert report.findings(found, *reasons) == [
        "The reason is obsolete: ReaderRole: s3:GetObject",
        "The reason is obsolete: ReaderRole: s3:PutObject on bucket/*, explicit deny",
    ]


def test_a_reason_that_only_sometimes_applies_is_never_obsolete() -> None:
    found = usage((READ, 3, {NO_READ}))
    reasons = (
        [Unused("ReaderRole", ("s3:GetObject",), REASON, sometimes=True)],
        [Provoked("ReaderRole", "s3:PutObject", "bucket/*", "explicit deny", REASON, sometimes=True)],
    )

    assert report.findings(found, *reasons) == []


def test_the_records_of_several_processes_are_merged() -> None:
    merged = Usage()
    for each in (usage((READ, 3, {NO_READ}), (WRITE, 0, set())), usage((READ, 0, set()), denied=[NO_WRITE])):
        merged.merge(Usage.from_json(each.to_json()))

    assert merged.calls == {READ: 3, WRITE: 0}
    assert merged.required_by == {READ: {NO_READ}, WRITE: set()}
    assert merged.denied == {NO_WRITE: 1}
    assert merged.decided == 3
