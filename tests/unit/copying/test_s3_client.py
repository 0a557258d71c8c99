import asyncio
import datetime
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from promotion.copying import http_client, s3_client
from promotion.copying.s3_client import ATTEMPTS, Reply, S3Requests
from promotion.errors import TransientError

Handler = Callable[[bytes], bytes]
KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret"}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_client, "_FIRST_PAUSE_SECONDS", 0)


class Wire:
    """A recorder of requests that responds with `responses` in order, and then always with the last one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *responses: bytes | OSError) -> None:
        self.responses, self.sent, self.hosts = list(responses), list[str](), list[tuple[str, int, bool]]()
        wire = self

        class Recording(http_client.Connections):
            def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
                wire.hosts.append((host, port, tls is not None))
                super().__init__(host, port, tls)

            async def exchange(self, request: bytes, timeout: float, *, has_body: bool = True) -> http_client.Response:
                wire.sent.append(request.decode())
                data = wire.responses.pop(0) if len(wire.responses) > 1 else wire.responses[0]
                if isinstance(data, OSError):
                    raise data
                response = http_client.parsed(data, has_body=has_body, is_closed=True)
                assert response
                return response

        monkeypatch.setattr(s3_client, "Connections", Recording)


def response(body: str, status: int = 200) -> bytes:
    return f'HTTP/1.1 {status} Status\r\nContent-Length: {len(body)}\r\nETag: "e"\r\n\r\n{body}'.encode()


def send(client: Any, bucket: str = "bucket", key: str = "k", **given: Any) -> Reply:
    return asyncio.run(S3Requests(client, bucket).send("CopyObject", given.pop("method", "PUT"), key, **given))


def s3(region: str = "eu-west-1", **options: Any) -> Any:
    return boto3.client("s3", region_name=region, **KEYS, **options)


@pytest.mark.parametrize(
    ("options", "bucket", "host", "first_line"),
    [
        ({}, "my-bucket", ("my-bucket.s3.eu-west-1.amazonaws.com", 443, True), "PUT /a%20b/%C3%BC HTTP/1.1"),
        ({}, "my.bucket", ("s3.eu-west-1.amazonaws.com", 443, True), "PUT /my.bucket/a%20b/%C3%BC HTTP/1.1"),
        (
            {"region": "cn-north-1"},
            "my-bucket",
            ("my-bucket.s3.cn-north-1.amazonaws.com.cn", 443, True),
            "PUT /a%20b/%C3%BC HTTP/1.1",
        ),
        (
            {"endpoint_url": "http://127.0.0.1:5000"},
            "my-bucket",
            ("127.0.0.1", 5000, False),
            "PUT /my-bucket/a%20b/%C3%BC HTTP/1.1",
        ),
        (
            {"endpoint_url": "https://s3.example.com:9000/base"},
            "my.bucket",
            ("s3.example.com", 9000, True),
            "PUT /base/my.bucket/a%20b/%C3%BC HTTP/1.1",
        ),
        (
            {"config": Config(s3={"addressing_style": "path"})},
            "my-bucket",
            ("s3.eu-west-1.amazonaws.com", 443, True),
            "PUT /my-bucket/a%20b/%C3%BC HTTP/1.1",
        ),
        (
            {"config": Config(use_fips_endpoint=True), "region": "us-east-2"},
            "my-bucket",
            ("my-bucket.s3-fips.us-east-2.amazonaws.com", 443, True),
            "PUT /a%20b/%C3%BC HTTP/1.1",
        ),
    ],
)
def test_the_endpoint_of_a_bucket_is_the_one_of_botocore(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], bucket: str, host: tuple[str, int, bool], first_line: str
) -> None:
    wire = Wire(monkeypatch, response(""))

    send(s3(**options), bucket, "a b/ü")

    name, port, is_tls = host
    lines = wire.sent[0].split("\r\n")
    assert wire.hosts == [host]
    assert lines[0] == first_line
    assert f"host: {name}{'' if is_tls and port == 443 else f':{port}'}" in lines
    assert f"/{options.get('region', 'eu-west-1')}/s3/aws4_request" in wire.sent[0]


def test_resolving_an_endpoint_sends_no_request_and_changes_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    client = s3(endpoint_url="http://127.0.0.1:1", config=Config(retries={"total_max_attempts": 1}))

    S3Requests(client, "bucket")

    with pytest.raises(Exception, match="Could not connect"):
        client.head_bucket(Bucket="bucket")


def test_expiring_credentials_are_refreshed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def refresh() -> dict[str, str]:
        made.append(f"ASIA{len(made)}")
        # botocore refreshes credentials that expire within ten minutes.
        expiry = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)
        return {"access_key": made[-1], "secret_key": "s", "token": "t", "expiry_time": expiry.isoformat()}

    session = botocore.session.get_session()
    session._credentials = RefreshableCredentials.create_from_metadata(refresh(), refresh, "test")
    client = boto3.Session(botocore_session=session, region_name="eu-west-1").client("s3")
    wire = Wire(monkeypatch, response(""))

    send(client)
    send(client)

    used = [line for request in wire.sent for line in request.split("\r\n") if line.startswith("authorization")]
    assert [line.split("Credential=")[1].split("/")[0] for line in used] == made[-2:]
    assert "x-amz-security-token: t" in wire.sent[0]


def test_an_error_has_the_form_of_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    Wire(monkeypatch, response("<Error><Code>AccessDenied</Code><Message>No &amp; no</Message></Error>", 403))

    with pytest.raises(ClientError) as error:
        send(s3())

    assert error.value.operation_name == "CopyObject"
    assert error.value.response["Error"] == {"Code": "AccessDenied", "Message": "No & no"}
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_the_error_code_of_a_head_is_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    Wire(monkeypatch, response("", 404))

    with pytest.raises(ClientError) as error:
        send(s3(), method="HEAD")

    assert error.value.response["Error"] == {"Code": "404", "Message": "Not Found"}


def elsewhere(status: int, body: str = "", region: str = "us-west-2") -> bytes:
    header = f"x-amz-bucket-region: {region}\r\n" if region else ""
    return f"HTTP/1.1 {status} Status\r\nContent-Length: {len(body)}\r\n{header}\r\n{body}".encode()


WRONG_REGION = "<Error><Code>{}</Code><Region>us-west-2</Region></Error>"


@pytest.mark.parametrize(
    ("method", "refused"),
    [
        ("PUT", elsewhere(301, WRONG_REGION.format("PermanentRedirect"))),
        ("PUT", elsewhere(400, WRONG_REGION.format("AuthorizationHeaderMalformed"), region="")),
        ("HEAD", elsewhere(301)),
        ("HEAD", elsewhere(400)),
        ("PUT", elsewhere(307)),
    ],
)
def test_requests_follow_a_bucket_to_its_region(monkeypatch: pytest.MonkeyPatch, method: str, refused: bytes) -> None:
    wire = Wire(monkeypatch, refused, response(""))

    async def send_three_requests() -> None:
        requests = S3Requests(s3(), "my-bucket")
        for _ in range(3):
            await requests.send("CopyObject", method, "k")

    asyncio.run(send_three_requests())

    assert [host for host, *_ in wire.hosts] == [f"my-bucket.s3.{r}.amazonaws.com" for r in ("eu-west-1", "us-west-2")]
    assert ["/us-west-2/s3/aws4_request" in request for request in wire.sent] == [False, True, True, True]
    assert "host: my-bucket.s3.us-west-2.amazonaws.com" in wire.sent[1]


def test_concurrent_requests_to_the_wrong_region_switch_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    class ByRegion(http_client.Connections):
        def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
            opened.append(host)
            self.response = response("") if "us-west-2" in host else elsewhere(301)
            super().__init__(host, port, tls)

        async def exchange(self, request: bytes, timeout: float, *, has_body: bool = True) -> http_client.Response:
            await asyncio.sleep(0)
            found = http_client.parsed(self.response, has_body=has_body, is_closed=True)
            assert found
            return found

    monkeypatch.setattr(s3_client, "Connections", ByRegion)

    async def send_concurrently() -> None:
        requests = S3Requests(s3(), "my-bucket")
        await asyncio.gather(*[requests.send("HeadObject", "HEAD", str(number)) for number in range(20)])

    asyncio.run(send_concurrently())

    assert opened == [f"my-bucket.s3.{region}.amazonaws.com" for region in ("eu-west-1", "us-west-2")]


@pytest.mark.parametrize("refused", [elsewhere(301, region=""), elsewhere(400, region="eu-west-1"), elsewhere(403)])
def test_a_redirect_without_another_region_is_an_error(monkeypatch: pytest.MonkeyPatch, refused: bytes) -> None:
    wire = Wire(monkeypatch, refused)

    with pytest.raises(ClientError):
        send(s3(), method="HEAD")

    assert len(wire.sent) == 1


SLOW_DOWN = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
TRANSIENT = [
    response(SLOW_DOWN, 503),
    response(SLOW_DOWN, 200),
    response("<Error><Code>InternalError</Code></Error>", 500),
    response("<Error><Code>RequestTimeout</Code></Error>", 400),
    response("<Error><Code>ExpiredToken</Code></Error>", 400),
    response("<html>a proxy's</html>", 502),
    response("not even a document", 504),
    response("", 429),
    response("<CopyObjectResult><ETag>e</ET", 200),
    response("<Other/>", 200),
    ConnectionResetError("reset"),
    TimeoutError(),
]


@pytest.mark.parametrize("transient", TRANSIENT, ids=range(len(TRANSIENT)))
def test_a_transient_error_is_retried(monkeypatch: pytest.MonkeyPatch, transient: bytes | OSError) -> None:
    wire = Wire(monkeypatch, transient, transient, response("<CopyObjectResult><ETag>e</ETag></CopyObjectResult>"))

    reply = send(s3(), required="ETag")

    assert reply.text("ETag") == "e"
    assert reply.retries == 2
    assert len(wire.sent) == 3


@pytest.mark.parametrize("transient", TRANSIENT, ids=range(len(TRANSIENT)))
def test_a_persistent_transient_error_is_raised(monkeypatch: pytest.MonkeyPatch, transient: bytes | OSError) -> None:
    wire = Wire(monkeypatch, transient)

    with pytest.raises(TransientError, match=f"CopyObject of s3://bucket/k failed {ATTEMPTS} times: ."):
        send(s3(), required="ETag")

    assert len(wire.sent) == ATTEMPTS


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchKey", "InvalidRequest", "SomethingNew"])
def test_a_permanent_error_is_not_retried(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    wire = Wire(monkeypatch, response(f"<Error><Code>{code}</Code></Error>", 400))

    with pytest.raises(ClientError, match=code):
        send(s3())

    assert len(wire.sent) == 1


def test_pauses_grow_with_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_client, "_FIRST_PAUSE_SECONDS", 0.1)
    paused: list[tuple[float, float]] = []

    def record(low: float, high: float) -> float:
        paused.append((low, high))
        return 0

    monkeypatch.setattr("random.uniform", record)
    Wire(monkeypatch, response(SLOW_DOWN, 503))

    with pytest.raises(TransientError):
        send(s3())

    assert paused == [(0, pause) for pause in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5)]


def test_all_pages_of_a_listing_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def page(truncated: str, key: str, marker: str) -> bytes:
        markers = f"<NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>{marker}</NextUploadIdMarker>"
        return response(f"<R><EncodingType>url</EncodingType>{markers}<IsTruncated>{truncated}</IsTruncated></R>")

    wire = Wire(monkeypatch, page("true", "a+b%2Bc", "id+1"), page("true", "d", "2"), page("false", "", ""))

    async def walk() -> int:
        markers = {"NextKeyMarker": "key-marker", "NextUploadIdMarker": "upload-id-marker"}
        requests = S3Requests(s3(), "bucket")
        return len([page async for page in requests.pages("ListMultipartUploads", "", {"uploads": ""}, {}, markers)])

    assert asyncio.run(walk()) == 3
    assert [request.split(" ")[1] for request in wire.sent] == [
        "/?uploads=",
        # Only keys are encoded in the response.
        "/?key-marker=a%20b%2Bc&upload-id-marker=id%2B1&uploads=",
        "/?key-marker=d&upload-id-marker=2&uploads=",
    ]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Return a self-signed certificate for "localhost", and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return tmp_path / "certificate.pem", tmp_path / "key.pem"


@pytest.fixture
def _fresh_trust() -> Iterator[None]:
    s3_client._tls.cache_clear()
    yield
    s3_client._tls.cache_clear()


def over_tls(certificate: tuple[Path, Path], host: str) -> Reply:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response("<R><ETag>e</ETag></R>"))
        writer.close()

    async def scenario() -> Reply:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*certificate)
        async with await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls) as server:
            url = f"https://{host}:{server.sockets[0].getsockname()[1]}"
            requests = S3Requests(s3(endpoint_url=url), "bucket")
            try:
                return await requests.send("CopyObject", "PUT", "k")
            finally:
                requests.close()

    return asyncio.run(scenario())


@pytest.mark.usefixtures("_fresh_trust")
def test_a_host_with_a_certificate_of_the_ca_bundle_is_trusted(
    monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path]
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate[0]))

    assert over_tls(certificate, "localhost").text("ETag") == "e"


@pytest.mark.usefixtures("_fresh_trust")
def test_a_self_signed_certificate_is_rejected(certificate: tuple[Path, Path]) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
        over_tls(certificate, "localhost")


@pytest.mark.usefixtures("_fresh_trust")
def test_a_certificate_for_another_host_is_rejected(
    monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path]
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate[0]))

    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for '127\.0\.0\.1'"):
        over_tls(certificate, "127.0.0.1")
