import base64
import datetime
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel import accounts
from tests.embedded_aws.support.lambda_functions import (
    ALLOW_ALL,
    PRODUCTION,
    QA,
    Function,
    MakeFunction,
    create_role,
    zipped,
)
from tests.support.waiting import wait_for


def test_a_function_receives_its_event_and_returns_its_result(function: MakeFunction) -> None:
    echo = function("def handler(event, context): return {'got': event}")

    response = echo.invoke({"ä": [1, None]})

    assert json.loads(response["Payload"].read()) == {"got": {"ä": [1, None]}}
    assert response["StatusCode"] == 200
    assert response["ExecutedVersion"] == "$LATEST"
    assert "FunctionError" not in response


def test_an_invocation_without_a_payload_has_an_empty_event(function: MakeFunction) -> None:
    echo = function("def handler(event, context): return event")

    assert json.loads(echo.client.invoke(FunctionName=echo.name)["Payload"].read()) == {}


def test_a_warm_invocation_reuses_the_modules_state(function: MakeFunction) -> None:
    counter = function("""
        import os
        count = 0
        def handler(event, context):
            global count
            count += 1
            return [count, os.getpid()]
        """)

    first, second = counter.result(), counter.result()

    assert (first[0], second[0]) == (1, 2)
    assert first[1] == second[1]


def test_concurrent_invocations_run_in_separate_processes(function: MakeFunction, tmp_path: Path) -> None:
    # Each waits for the other, so neither would return if they ran in sequence.
    meeting = function("""
        import os, pathlib, time
        def handler(event, context):
            here = pathlib.Path(event["place"])
            (here / event["me"]).touch()
            while len(list(here.iterdir())) < 2:
                time.sleep(0.05)
            return os.getpid()
        """)
    pids = []
    threads = [
        threading.Thread(target=lambda me=me: pids.append(meeting.result({"place": str(tmp_path), "me": me})))
        for me in ("a", "b")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(pids)) == 2


def test_new_code_and_new_settings_start_a_new_process(function: MakeFunction) -> None:
    mood = function("import os\ndef handler(event, context): return ['old', os.environ.get('MOOD'), os.getpid()]")
    old = mood.result()

    mood.client.update_function_configuration(FunctionName=mood.name, Environment={"Variables": {"MOOD": "good"}})
    configured = mood.result()
    source = "import os\ndef handler(event, context): return ['new', os.environ.get('MOOD'), os.getpid()]"
    mood.client.update_function_code(FunctionName=mood.name, ZipFile=zipped({"app.py": source}))
    updated = mood.result()

    assert [old[:2], configured[:2], updated[:2]] == [["old", None], ["old", "good"], ["new", "good"]]
    assert len({old[2], configured[2], updated[2]}) == 3


def test_code_can_be_in_a_bucket_and_in_a_package(function: MakeFunction, name: str) -> None:
    s3 = clients.client_as_operator("s3", QA)
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": accounts.REGION})
    source = "from steps import words\ndef handler(event, context): return words.GREETING"
    files = {"steps/greet.py": source, "steps/words.py": "GREETING = 'hello'"}
    s3.put_object(Bucket=name, Key="code.zip", Body=zipped(files))
    client = clients.client_as_operator("lambda", QA)
    client.create_function(
        FunctionName=name,
        Role=create_role(name, QA),
        Runtime="python3.13",
        Handler="steps.greet.handler",
        Code={"S3Bucket": name, "S3Key": "code.zip"},
    )

    assert Function(client, name, "").result() == "hello"


def test_the_context_describes_the_invocation(function: MakeFunction) -> None:
    inspecting = function(
        """
        def handler(event, context):
            names = ("function_name function_version invoked_function_arn memory_limit_in_mb aws_request_id "
                     "log_group_name log_stream_name client_context").split()
            facts = {name: getattr(context, name) for name in names}
            return facts | {"left": context.get_remaining_time_in_millis(),
                            "identity": context.identity.cognito_identity_id}
        """,
        MemorySize=256,
        Timeout=20,
    )

    response = inspecting.invoke()
    context = json.loads(response["Payload"].read())

    assert 15_000 < context.pop("left") <= 20_000
    assert "[$LATEST]" in context.pop("log_stream_name")
    assert context == {
        "function_name": inspecting.name,
        "function_version": "$LATEST",
        "invoked_function_arn": inspecting.arn,
        "memory_limit_in_mb": "256",
        "aws_request_id": response["ResponseMetadata"]["RequestId"],
        "log_group_name": f"/aws/lambda/{inspecting.name}",
        "client_context": None,
        "identity": None,
    }


def test_the_environment_contains_only_lambdas_variables(
    function: MakeFunction, aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "secret")
    inspecting = function(
        "import os\ndef handler(event, context): return dict(os.environ)",
        Environment={"Variables": {"LOG_LEVEL": "INFO"}},
    )

    environment = inspecting.result()

    expected = {
        "_HANDLER": "app.handler",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": aws.endpoint_url,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_FUNCTION_NAME": inspecting.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{inspecting.name}",
        "AWS_REGION": "eu-west-1",
        "LOG_LEVEL": "INFO",
        "TZ": ":UTC",
    }
    assert expected.items() <= environment.items()
    assert "OURS" not in environment
    assert set(environment) - set(expected) <= {
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_INITIALIZATION_TYPE"),
        *("AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_STREAM_NAME", "LAMBDA_TASK_ROOT"),
        *("HOME", "LANG", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "__CF_USER_TEXT_ENCODING"),
    }


def test_a_function_calls_aws_as_its_role_with_path_style_buckets(function: MakeFunction, name: str) -> None:
    s3 = clients.client_as_operator("s3", PRODUCTION)
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": accounts.REGION})
    caller = function(
        """
        import boto3
        def handler(event, context):
            boto3.client("s3").put_object(Bucket=event, Key="a b", Body=b"written")
            return boto3.client("sts").get_caller_identity()["Arn"]
        """,
        account=PRODUCTION,
    )

    assert caller.result(name) == f"arn:aws:sts::{PRODUCTION}:assumed-role/{name}/{name}"
    assert s3.get_object(Bucket=name, Key="a b")["Body"].read() == b"written"


@pytest.mark.parametrize("powertools", [True, False])
def test_only_modules_that_exist_on_lambda_can_be_imported(function: MakeFunction, powertools: bool) -> None:
    importer = function(
        """
        import importlib
        def handler(event, context):
            imported = []
            for name in event:
                try:
                    importlib.import_module(name)
                    imported.append(name)
                except ImportError:
                    pass
            return imported
        """,
        files={"requirements.txt": "aws-lambda-powertools>=3  # logs\n"} if powertools else {},
    )
    present = ["boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six"]
    required = ["aws_lambda_powertools", "typing_extensions"]
    absent = ["embedded_aws", "embedded_aws.services.lambda_.runtime", "runtime", "s3"]
    absent += ["tests", "moto", "yaml", "pytest", "awscrt", "packaging"]

    assert importer.result(present + required + absent) == present + (required if powertools else [])


def test_a_functions_modules_take_precedence_over_those_of_the_runtime(function: MakeFunction) -> None:
    shadowing = function(
        "import boto3, email\ndef handler(event, context): return [boto3.mine, email.mine]",
        {"boto3.py": "mine = 'a module'", "email/__init__.py": "mine = 'a package'"},
    )

    assert shadowing.result() == ["a module", "a package"]


def test_variables_that_an_interpreter_reads_at_its_start_have_an_effect(function: MakeFunction) -> None:
    lenient = function(
        "import sys\ndef handler(event, context): return sys.flags.int_max_str_digits",
        Environment={"Variables": {"PYTHONINTMAXSTRDIGITS": "5000"}},
    )

    assert lenient.result() == 5000


def test_the_session_of_the_sdk_is_configured_by_the_functions_variables(function: MakeFunction) -> None:
    configured = function(
        """
        import boto3, os
        def handler(event, context):
            client = boto3.client("sns")
            key = client._request_signer._credentials.access_key
            return [key == os.environ["AWS_ACCESS_KEY_ID"], client.meta.region_name, client.meta.config.retries["mode"]]
        """,
        {"config": "[profile mine]\nretry_mode = adaptive\n"},
        Environment={"Variables": {"AWS_RETRY_MODE": "standard"}},
    )
    assert configured.result() == [True, "eu-west-1", "standard"]

    profile = {"AWS_CONFIG_FILE": "config", "AWS_PROFILE": "mine"}
    configured.client.update_function_configuration(FunctionName=configured.name, Environment={"Variables": profile})

    assert configured.result() == [True, "eu-west-1", "adaptive"]


@pytest.mark.parametrize(
    ("source", "handler", "error_type", "message"),
    [
        ("import nowhere", "app.handler", "Runtime.ImportModuleError", "Unable to import module 'app': No module"),
        ("", "missing.handler", "Runtime.ImportModuleError", "Unable to import module 'missing': No module named"),
        ("", "app.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
        ("def :", "app.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app': invalid syntax"),
        ("", "app", "Runtime.MalformedHandlerName", "Bad handler 'app': not enough values to unpack"),
        ("raise KeyError('x')", "app.handler", "KeyError", "'x'"),
        ("handler = lambda *_: {1, 2}", "app.handler", "Runtime.MarshalError", "Unable to marshal response: Object of"),
    ],
)
def test_errors_of_the_runtime_have_their_documented_types(
    function: MakeFunction, source: str, handler: str, error_type: str, message: str
) -> None:
    broken = function(source, Handler=handler)

    for _ in range(2):  # the second invocation must not reuse a process whose initialization failed
        error = broken.error()
        assert error["errorType"] == error_type
        assert error["errorMessage"].startswith(message)
        assert error["requestId"]


def test_an_exception_is_reported_by_its_class_name_without_a_module(function: MakeFunction) -> None:
    faulty = function("""
        class EndpointBusyError(RuntimeError): pass
        def inner(): raise EndpointBusyError("try later")
        def handler(event, context): inner()
        """)

    response = faulty.invoke()
    error = json.loads(response["Payload"].read())

    assert (error["errorType"], error["errorMessage"]) == ("EndpointBusyError", "try later")
    assert error["requestId"] == response["ResponseMetadata"]["RequestId"]
    assert [frame.splitlines()[0].split(", ")[-1] for frame in error["stackTrace"]] == ["in handler", "in inner"]
    assert any("EndpointBusyError: try later\nTraceback" in message for message in faulty.log())
    assert faulty.error()["errorType"] == "EndpointBusyError"


def test_a_function_is_killed_after_its_timeout_and_the_next_invocation_is_cold(function: MakeFunction) -> None:
    slow = function(
        """
        import os, time
        def handler(event, context):
            time.sleep(event)
            return os.getpid()
        """,
        Timeout=3,
    )
    first = slow.result(0)

    response = slow.invoke(600)
    error = json.loads(response["Payload"].read())

    request_id = response["ResponseMetadata"]["RequestId"]
    assert error == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {request_id} Error: Task timed out after 3.00 seconds",
    }
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    assert slow.result(0) != first


def test_a_slow_import_is_retried_within_the_functions_timeout(
    function: MakeFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedded_aws.services.lambda_.environments._INIT_SECONDS", 0.3)
    slow = function("import time\ntime.sleep(3)\ndef handler(event, context): return 'loaded'", Timeout=60)

    assert slow.result() == "loaded"
    slow.client.update_function_configuration(FunctionName=slow.name, Timeout=1, Description="too short")
    slow.client.update_function_configuration(FunctionName=slow.name, Environment={"Variables": {"NEW": "process"}})
    assert slow.error()["errorType"] == "Sandbox.Timedout"


@pytest.mark.parametrize(
    ("death", "reason"),
    [
        ("os._exit(1)", "Runtime exited with error: exit status 1"),
        ("sys.exit(3)", "Runtime exited with error: exit status 3"),
        ("exit(0)", "Runtime exited without providing a reason"),
        ("os.kill(os.getpid(), 9)", "Runtime exited with error: signal: killed"),
    ],
)
def test_the_end_of_the_process_is_an_exit_error_and_the_next_invocation_is_cold(
    function: MakeFunction, death: str, reason: str
) -> None:
    crashing = function(f"""
        import os, sys
        def handler(event, context):
            if event == "die":
                {death}
            return "alive"
        """)
    crashing.result("live")

    error = crashing.error("die")

    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith(f" Error: {reason}")
    assert crashing.result("live") == "alive"


def test_an_idle_process_that_ended_is_replaced_without_an_error(function: MakeFunction) -> None:
    idle = function("import os\ndef handler(event, context): return os.getpid()")
    first = idle.result()

    os.kill(first, signal.SIGKILL)
    wait_for(lambda: not lives(first))

    assert idle.result() != first


@pytest.mark.parametrize(
    ("size", "kind", "accepted"),
    [
        (6_291_456, "RequestResponse", True),
        (6_291_457, "RequestResponse", False),
        (1_048_576, "Event", True),
        (1_048_577, "Event", False),
    ],
)
def test_a_payload_has_the_documented_size_limit(function: MakeFunction, size: int, kind: str, accepted: bool) -> None:
    measure = function("def handler(event, context): return len(event)")
    payload = json.dumps("x" * (size - 2))

    if accepted:
        response = measure.client.invoke(FunctionName=measure.name, Payload=payload, InvocationType=kind)
        assert response["StatusCode"] in (200, 202)
    else:
        with pytest.raises(ClientError, match="Request must be smaller than") as raised:
            measure.client.invoke(FunctionName=measure.name, Payload=payload, InvocationType=kind)
        assert raised.value.response["Error"]["Code"] == "RequestEntityTooLargeException"
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_a_response_above_the_size_limit_is_an_error(function: MakeFunction) -> None:
    large = function("def handler(event, context): return 'x' * event")

    assert len(large.result(6_000_000)) == 6_000_000
    assert large.error(6_300_000)["errorType"] == "Function.ResponseSizeTooLarge"


def test_a_payload_that_is_not_valid_json_is_rejected(function: MakeFunction) -> None:
    echo = function("def handler(event, context): return event")

    with pytest.raises(ClientError) as raised:
        echo.client.invoke(FunctionName=echo.name, Payload=b"{")

    assert raised.value.response["Error"]["Code"] == "InvalidRequestContentException"


def test_printed_output_affects_neither_the_response_nor_the_tests_output(
    function: MakeFunction, capfd: pytest.CaptureFixture[str]
) -> None:
    noisy = function("""
        import logging, os, subprocess, sys
        def handler(event, context):
            print("printed")
            sys.stderr.write("to stderr\\n")
            os.write(1, b"result:null\\n")
            subprocess.run(["echo", "from a child"])
            logging.getLogger().warning("logged")
            return sys.stdin.read()
        """)

    assert noisy.result() == ""

    log = noisy.log()
    assert [line for line in log if line in ("printed", "to stderr", "result:null", "from a child")] == [
        "printed",
        "to stderr",
        "result:null",
        "from a child",
    ]
    assert any(line.startswith("[WARNING]\t") and line.endswith("\tlogged") for line in log)
    assert (log[0].split()[0], log[-2].split()[0], log[-1].split()[0]) == ("START", "END", "REPORT")
    assert "Init Duration" in log[-1]
    assert "printed" not in "".join(capfd.readouterr())


def test_the_response_contains_the_end_of_the_log_on_request(function: MakeFunction) -> None:
    noisy = function("def handler(event, context): print('x' * 5000); print('the end')")

    tail = base64.b64decode(noisy.invoke(LogType="Tail")["LogResult"])

    assert len(tail) == 4096
    assert b"\nthe end\nEND RequestId: " in tail
    assert "LogResult" not in noisy.invoke()


def test_decimals_of_the_dynamodb_resource_become_numbers(function: MakeFunction) -> None:
    decimals = function("""
        from decimal import Decimal
        def handler(event, context): return [Decimal("3"), Decimal("0.25"), Decimal("12345678901234567890")]
        """)

    assert decimals.result() == [3, 0.25, 12345678901234567890]


def test_a_dry_run_runs_nothing(function: MakeFunction, tmp_path: Path) -> None:
    touch = function("import pathlib\ndef handler(event, context): pathlib.Path(event).touch()")

    response = touch.invoke(str(tmp_path / "made"), InvocationType="DryRun")

    assert response["StatusCode"] == 204
    assert not (tmp_path / "made").exists()


def test_another_account_can_invoke_a_function_only_by_its_arn(function: MakeFunction) -> None:
    echo = function("def handler(event, context): return context.invoked_function_arn", account=PRODUCTION)
    clients.client_as_operator("lambda", PRODUCTION).add_permission(
        FunctionName=echo.name, StatementId="qa", Action="lambda:InvokeFunction", Principal=QA
    )
    from_qa = clients.client_as_operator("lambda", QA)

    for name in (echo.arn, f"{PRODUCTION}:function:{echo.name}"):
        assert json.loads(from_qa.invoke(FunctionName=name)["Payload"].read()) == echo.arn
    with pytest.raises(from_qa.exceptions.ResourceNotFoundException, match=f"{QA}:function:{echo.name}"):
        from_qa.invoke(FunctionName=echo.name)


def test_a_version_and_an_alias_run_their_published_code(function: MakeFunction) -> None:
    aged = function("def handler(event, context): return ['old', context.function_version]")
    aged.client.publish_version(FunctionName=aged.name)
    aged.client.create_alias(FunctionName=aged.name, Name="live", FunctionVersion="1")
    source = "def handler(event, context): return ['new', context.function_version]"
    aged.client.update_function_code(FunctionName=aged.name, ZipFile=zipped({"app.py": source}))

    responses = [aged.invoke(Qualifier="live"), aged.client.invoke(FunctionName=f"{aged.arn}:1"), aged.invoke()]

    assert [response["ExecutedVersion"] for response in responses] == ["1", "1", "$LATEST"]
    assert [json.loads(response["Payload"].read()) for response in responses] == [
        ["old", "1"],
        ["old", "1"],
        ["new", "$LATEST"],
    ]


def test_deleting_a_function_ends_its_processes(function: MakeFunction) -> None:
    deleted = function("import os\ndef handler(event, context): return os.getpid()")
    pid = deleted.result()

    deleted.client.delete_function(FunctionName=deleted.name)

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(ClientError) as raised:
        deleted.invoke()
    assert raised.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_invocations_above_the_reserved_concurrency_are_throttled(function: MakeFunction, tmp_path: Path) -> None:
    slow = function("""
        import pathlib, time
        def handler(event, context):
            here = pathlib.Path(event)
            (here / "begun").touch()
            while not (here / "end").exists():
                time.sleep(0.05)
        """)
    slow.client.put_function_concurrency(FunctionName=slow.name, ReservedConcurrentExecutions=1)
    busy = threading.Thread(target=slow.result, args=[str(tmp_path)])
    busy.start()
    wait_for((tmp_path / "begun").exists)

    with pytest.raises(slow.client.exceptions.TooManyRequestsException) as raised:
        slow.invoke(str(tmp_path))
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert raised.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"

    (tmp_path / "end").touch()
    busy.join()
    slow.result(str(tmp_path))
    slow.client.put_function_concurrency(FunctionName=slow.name, ReservedConcurrentExecutions=0)
    with pytest.raises(slow.client.exceptions.TooManyRequestsException):
        slow.invoke(str(tmp_path))


def attempts(path: Path, count: int) -> int:
    """Return the number of lines of a file once it has `count`."""
    wait_for(lambda: path.exists() and path.read_text().count("\n") >= count)
    return path.read_text().count("\n")


FAILING = """
    def handler(event, context):
        with open(event, "a") as file:
            file.write(context.aws_request_id + "\\n")
        raise ValueError("never")
    """


def test_a_failing_event_is_sent_to_the_dead_letter_queue_after_three_attempts(
    function: MakeFunction, tmp_path: Path, name: str
) -> None:
    sqs = clients.client_as_operator("sqs", QA)
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    dead_letters = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    failing = function(FAILING, DeadLetterConfig={"TargetArn": dead_letters})
    file = tmp_path / "attempts"

    response = failing.invoke(str(file), InvocationType="Event")

    assert (response["StatusCode"], response["Payload"].read()) == (202, b"")
    assert attempts(file, 3) == 3
    assert set(file.read_text().split()) == {response["ResponseMetadata"]["RequestId"]}
    (message,) = receive(sqs, queue)
    assert json.loads(message["Body"]) == str(file)
    attributes = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
    assert attributes == {
        "RequestID": response["ResponseMetadata"]["RequestId"],
        "ErrorCode": "200",
        "ErrorMessage": "never",
    }


def receive(sqs: Any, queue: str) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = sqs.receive_message(
        QueueUrl=queue, WaitTimeSeconds=10, MessageAttributeNames=["All"]
    )["Messages"]
    return messages


def test_the_settings_determine_the_attempts_and_the_destination_of_an_event(
    function: MakeFunction, tmp_path: Path, name: str
) -> None:
    sqs = clients.client_as_operator("sqs", QA)
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    destination = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    failing = function(FAILING)
    for retries in (2, 0):
        failing.client.put_function_event_invoke_config(
            FunctionName=failing.name,
            MaximumRetryAttempts=retries,
            DestinationConfig={"OnFailure": {"Destination": destination}},
        )
    file = tmp_path / "attempts"

    response = failing.invoke(str(file), InvocationType="Event")

    (message,) = receive(sqs, queue)
    record = json.loads(message["Body"])
    assert record["requestContext"] == {
        "requestId": response["ResponseMetadata"]["RequestId"],
        "functionArn": f"{failing.arn}:$LATEST",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 1,
    }
    assert record["requestPayload"] == str(file)
    assert record["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    assert record["responsePayload"]["errorType"] == "ValueError"
    assert attempts(file, 1) == 1


def test_an_event_is_sent_to_the_dead_letter_topic_if_the_concurrency_is_zero(
    function: MakeFunction, name: str
) -> None:
    sqs, sns = clients.client_as_operator("sqs", QA), clients.client_as_operator("sns", QA)
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = {**ALLOW_ALL, "Statement": [{**ALLOW_ALL["Statement"][0], "Principal": "*"}]}  # type: ignore[dict-item]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn, Attributes={"RawMessageDelivery": "true"})
    stopped = function("def handler(event, context): pass", DeadLetterConfig={"TargetArn": topic})
    stopped.client.put_function_concurrency(FunctionName=stopped.name, ReservedConcurrentExecutions=0)

    stopped.invoke({"kept": True}, InvocationType="Event")

    (message,) = receive(sqs, queue)
    assert json.loads(message["Body"]) == {"kept": True}


def test_topics_and_queues_invoke_their_subscribed_functions(function: MakeFunction, tmp_path: Path, name: str) -> None:
    sqs, sns = clients.client_as_operator("sqs", QA), clients.client_as_operator("sns", QA)
    source = f"""
        import json, pathlib
        def handler(event, context):
            with open({str(tmp_path / "records")!r}, "a") as file:
                for record in event["Records"]:
                    file.write(record["body"] if "body" in record else record["Sns"]["Message"])
                    file.write("\\n")
        """
    listener = function(source)
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=listener.arn)
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    listener.client.create_event_source_mapping(EventSourceArn=queue_arn, FunctionName=listener.name)

    sns.publish(TopicArn=topic, Message="from the topic")
    sqs.send_message(QueueUrl=queue, MessageBody="from the queue")

    assert attempts(tmp_path / "records", 2) == 2
    assert set((tmp_path / "records").read_text().splitlines()) == {"from the topic", "from the queue"}


def test_the_lines_of_a_function_with_the_log_format_json_are_json(aws: EmbeddedAws, function: MakeFunction) -> None:
    logged = function("""
        import logging
        def handler(event, context):
            logging.getLogger().warning("low on %s", "disk", extra={"application": "reviews"})
            try:
                raise KeyError("handled")
            except KeyError:
                logging.getLogger().exception("caught")
            raise ValueError("unhandled\\nin two lines")
        """)
    logged.client.update_function_configuration(FunctionName=logged.name, LoggingConfig={"LogFormat": "JSON"})

    identifier = logged.error()["requestId"]

    warning, caught, raised = [json.loads(line) for line in logged.log() if line.startswith("{")]
    assert datetime.datetime.fromisoformat(warning.pop("timestamp")).tzinfo is not None
    assert warning == {
        "level": "WARNING",
        "message": "low on disk",
        "logger": "root",
        "requestId": identifier,
        "application": "reviews",
    }
    assert (caught["level"], caught["errorType"], caught["errorMessage"]) == ("ERROR", "KeyError", "'handled'")
    assert 'raise KeyError("handled")' in "".join(caught["stackTrace"])
    # An exception that the handler raises has another key for its level ("log_error" in AWS's runtime).
    assert (raised["log_level"], raised["errorType"]) == ("ERROR", "ValueError")
    assert (raised["errorMessage"], raised["requestId"]) == ("unhandled\nin two lines", identifier)


def test_a_function_of_a_stack_writes_to_its_log_group(aws: EmbeddedAws, name: str) -> None:
    cloudformation = clients.client_as_operator("cloudformation", PRODUCTION)
    logs = clients.client_as_operator("logs", PRODUCTION)
    template = {
        "Resources": {
            "Greet": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Role": create_role(name, PRODUCTION),
                    "Runtime": "python3.13",
                    "Handler": "index.handler",
                    "Code": {"ZipFile": "def handler(event, context): return context.log_group_name"},
                    "LoggingConfig": {"LogGroup": f"/ours/{name}"},
                },
            }
        },
        "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Greet", "Arn"]}}},
    }
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 0.2})
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    arn = stack["Outputs"][0]["OutputValue"]

    response = clients.client_as_operator("lambda", PRODUCTION).invoke(FunctionName=arn)

    assert json.loads(response["Payload"].read()) == f"/ours/{name}"
    assert logs.filter_log_events(logGroupName=f"/ours/{name}")["events"][0]["message"].startswith("START")


def lives(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True)  # noqa: S603, S607
    return state.stdout.strip()[:1] not in ("", "Z")


# Start an embedded AWS with a function that hangs, print the function's process ID, and wait for standard input.
PARENT = """
import json, pathlib, sys, threading, time
sys.path.insert(0, {root!r})
from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from tests.embedded_aws.support.lambda_functions import QA, Function, create_role, zipped

SOURCE = '''
import os, pathlib, time
def handler(event, context):
    pathlib.Path(event).write_text(str(os.getpid()))
    time.sleep(600)
'''
here = pathlib.Path({directory!r})
with EmbeddedAws(here / "aws"):
    client = clients.client_as_operator("lambda", QA)
    client.create_function(FunctionName="hang", Role=create_role("hang", QA), Timeout=900,
        Runtime="python3.13", Handler="app.handler", Code={{"ZipFile": zipped({{"app.py": SOURCE}})}})
    client.invoke(FunctionName="hang", InvocationType="Event", Payload=json.dumps(str(here / "pid")))
    while not (here / "pid").exists() or not (here / "pid").read_text():
        time.sleep(0.1)
    print((here / "pid").read_text(), flush=True)
    sys.stdin.readline()
print(*[thread.name for thread in threading.enumerate()], flush=True)
"""


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_no_process_outlives_the_embedded_aws(tmp_path: Path, end: str) -> None:
    root = str(Path(__file__).parents[3])
    script = PARENT.format(root=root, directory=str(tmp_path))
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    ) as parent:
        assert parent.stdin
        assert parent.stdout
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)

        if end == "kill":
            parent.kill()
        else:
            parent.stdin.write("\n")
            parent.stdin.close()
            assert parent.stdout.readline().split() == ["MainThread"]

    wait_for(lambda: not lives(pid))
