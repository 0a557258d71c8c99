import botocore.session

from embedded_aws.kernel.quotas import ASSUMED, RATES, Limiter, Rate

# The names in signatures that differ from botocore's.
MODELS = {"states": "stepfunctions", "monitoring": "cloudwatch"}
# No operations of the API.
NOT_CALLED = {("states", "StateTransition")}
# An operation of another model with the same name in signatures.
ELSEWHERE = {("sagemaker", "InvokeEndpoint")}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_allows_a_burst_and_then_its_rate() -> None:
    clock = Clock()
    limiter = Limiter({("s", "Do"): Rate(2, 3, "page")}, clock)

    assert [limiter.take("1", "s", "Do") for _ in range(4)] == [True, True, True, False]
    assert limiter.take("2", "s", "Do"), "another account has buckets of its own"
    assert limiter.take("1", "s", "Other"), "an operation without a rate has no limit"
    clock.now = 1.0
    assert [limiter.take("1", "s", "Do") for _ in range(3)] == [True, True, False]
    assert limiter.throttled == {("s", "Do"): 2}


def test_a_service_has_a_bucket_for_each_other_operation() -> None:
    limiter = Limiter({("s", "*"): Rate(1, 1, "page"), ("s", "Do"): Rate(1, 2, "page")}, Clock())

    assert [limiter.take("1", "s", operation) for operation in ("Do", "Do", "A", "B", "A")] == [True] * 4 + [False]


def test_a_delayed_request_waits_for_its_token() -> None:
    limiter = Limiter({("s", "Do"): Rate(2, 1, "page")}, Clock())

    assert [limiter.delay("1", "s", "Do") for _ in range(3)] == [0.0, 0.5, 1.0]


def test_every_rate_names_an_operation_of_aws_and_its_source() -> None:
    session = botocore.session.get_session()
    for (service, operation), rate in RATES.items():
        assert rate.per_second > 0
        assert rate.burst >= rate.per_second or rate.source == ASSUMED or service == "states"
        assert rate.source
        if operation != "*" and (service, operation) not in NOT_CALLED | ELSEWHERE:
            assert operation in session.get_service_model(MODELS.get(service, service)).operation_names
