"""The instrument itself: what it asks, what it returns, and that it deletes what it has created."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from embedded_aws.aws import EmbeddedAws
from tests.deployed import deletions, prices, probe
from tests.deployed.account import Account
from tests.deployed.instrument import DIFFERS, FAILED, Probe, Result, load, table
from tests.deployed.prices import Cost

Run = Callable[..., int]


@pytest.fixture
def ledgers(tmp_path: Path) -> Path:
    return tmp_path / "ledgers"


@pytest.fixture
def run(aws: EmbeddedAws, ledgers: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command in the dev account with probes of the test."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(aws.config_file))

    def run(*asks: Callable[[Account], str], arguments: tuple[str, ...] = ()) -> int:
        probes = [a_probe(ask) for ask in asks]
        monkeypatch.setattr(probe, "load", lambda: probes)
        return probe.main(["--stage", "none", "--profile", "dev", "--ledgers", str(ledgers), *arguments])

    return run


def a_probe(ask: Callable[[Account], str]) -> Probe:
    return Probe(ask.__name__, "The answer is yes", "nowhere", "yes", ask.__name__, ask, (Cost("KMS key", 100),), "")


def queues() -> list[str]:
    return list(boto3.session.Session(profile_name="dev").client("sqs").list_queues().get("QueueUrls", []))


def agrees(account: Account) -> str:
    return "yes"


def differs(account: Account) -> str:
    return "no"


def raises(account: Account) -> str:
    raise RuntimeError("an unexpected answer")


def test_a_difference_is_shown_with_the_belief_and_sets_the_exit_code(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(agrees) == 0
    assert run(agrees, differs) == 1
    output = capsys.readouterr().out

    assert f"{DIFFERS}: no" in output
    assert "(believed: yes)" in output


def test_an_unexpected_answer_fails_only_its_probe(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raises, agrees) == 1
    output = capsys.readouterr().out

    assert f"{FAILED}: RuntimeError: an unexpected answer" in output
    assert "1 as believed, 1 FAILED" in output


def test_without_consent_nothing_is_created(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Account, "is_embedded", property(lambda _: False, lambda *_: None), raising=False)
    asked: list[str] = []

    def creates(account: Account) -> str:
        asked.append(account.queue("unwanted")[0])
        return "yes"

    assert run(creates) == 2
    assert asked == []
    assert "about $0.14 at list prices" in capsys.readouterr().out


def test_an_interrupted_run_deletes_what_it_has_created(run: Run, ledgers: Path) -> None:
    created: list[str] = []

    def interrupted(account: Account) -> str:
        created.append(account.queue("interrupted")[0])
        assert created[0] in queues()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        account.pause(60)
        return "yes"

    assert run(interrupted) == 130
    assert created[0] not in queues()
    assert not list(ledgers.glob("*"))


def test_a_run_deletes_what_a_killed_one_has_left(run: Run, ledgers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The number of a process that cannot exist.
    file = ledgers / f"dev-eu-west-1-group-{2**22 + 1}.jsonl"
    killed = Account(boto3.session.Session(profile_name="dev"), "none", file)
    url, _ = killed.queue("killed")
    assert file.exists()

    assert run(agrees) == 0

    assert url not in queues()
    assert not file.exists()
    assert "interrupted run" in capsys.readouterr().out


def test_what_cannot_be_deleted_is_reported_and_kept_for_the_next_run(
    aws: EmbeddedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(aws.config_file))
    account = Account(boto3.session.Session(profile_name="dev"), "none", tmp_path / "ledger.jsonl", threading.Event())
    url, _ = account.queue("kept")
    account.ledger.add("sqs", "delete_queue", QueueUrl="not an URL of a queue", NoSuchParameter=1)

    (problem,) = account.ledger.settle(0, 0)

    assert "NoSuchParameter" in problem
    assert [entry["parameters"]["QueueUrl"] for entry in account.ledger.entries()] == ["not an URL of a queue"]
    assert url not in queues()


def test_a_bucket_is_emptied_with_all_versions(
    aws: EmbeddedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(aws.config_file))
    account = Account(boto3.session.Session(profile_name="dev"), "none", tmp_path / "ledger.jsonl")
    bucket, s3 = account.bucket("full"), account.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        s3.put_object(Bucket=bucket, Key="key", Body=body)
    s3.delete_object(Bucket=bucket, Key="key")

    assert account.ledger.settle(5, 0.1) == []
    assert bucket not in [each["Name"] for each in s3.list_buckets()["Buckets"]]


def test_a_table_is_wrapped_to_its_width() -> None:
    result = Result(a_probe(agrees), "x" * 50 + " y", DIFFERS)

    lines = table([result], 100)

    assert max(map(len, lines)) <= 100
    assert any("y" in line for line in lines)


def test_each_probe_has_a_docstring_and_says_where_its_belief_is_documented() -> None:
    probes = load()

    assert [each.name for each in probes if not (each.ask.__doc__ and each.documented and each.believed)] == []
    assert len({each.name for each in probes}) == len(probes)


def test_the_probes_cost_less_than_two_dollars() -> None:
    assert prices.total(cost for each in load() for cost in each.costs) < 2


def test_an_error_of_a_missing_resource_counts_as_deleted() -> None:
    assert deletions.is_gone(RuntimeError("Could not find endpoint"))
    assert not deletions.is_gone(RuntimeError("Cannot update in-progress endpoint"))
