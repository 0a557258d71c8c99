import datetime
import time
import urllib.parse

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials

from promotion.copying.sigv4 import TIME_FORMAT, encoded, query_string, signed_headers

PERMANENT = ReadOnlyCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", None)
TEMPORARY = ReadOnlyCredentials("ASIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG", "IQoJb3JpZ2lu/+=")
TIME = "20261122T153000Z"


def of_botocore(
    method: str, target: str, headers: dict[str, str], body: bytes, credentials: ReadOnlyCredentials, region: str
) -> str:
    request = AWSRequest(method, f"https://{headers['host']}{target}", headers=headers, data=body)
    request.context["timestamp"] = headers["x-amz-date"]
    auth = S3SigV4Auth(Credentials(*credentials[:3]), "s3", region)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return str(auth.signature(text, request))


@pytest.mark.parametrize("credentials", [PERMANENT, TEMPORARY], ids=["permanent", "temporary"])
@pytest.mark.parametrize("region", ["eu-west-1", "us-gov-west-1"])
@pytest.mark.parametrize(
    ("method", "key", "query", "headers", "body"),
    [
        ("GET", "", {"list-type": "2", "prefix": "a b/ü+%", "encoding-type": "url"}, {}, b""),
        ("GET", "k", {"part": "1", "part-number-marker": "2", "part.x": "3", "uploadId": "a/b+c=="}, {}, b""),
        ("POST", "k", {"uploads": ""}, {"x-amz-meta-words": "  two   words  ", "content-type": "a/b; c=d"}, b""),
        ("PUT", "a b+c%d?e#f&g=h/ü/日本/~-_.", {}, {"x-amz-copy-source": "b/k%20", "if-none-match": "*"}, b""),
        ("POST", "a//b/./c/../d", {"uploadId": "u"}, {"x-amz-mp-object-size": "5"}, b"<a>\xc3\xbc</a>"),
    ],
    ids=["list", "order", "metadata", "key", "body"],
)
def test_a_signature_equals_botocores(
    method: str,
    key: str,
    query: dict[str, str],
    headers: dict[str, str],
    body: bytes,
    region: str,
    credentials: ReadOnlyCredentials,
) -> None:
    path, arguments = f"/bucket/{encoded(key, safe='/')}", query_string(query)

    signed = signed_headers(
        method,
        path,
        arguments,
        {"host": "s3.eu-west-1.amazonaws.com"} | headers,
        body,
        region=region,
        credentials=credentials,
        time=TIME,
    )

    proof = signed.pop("authorization")
    target = f"{path}?{arguments}" if arguments else path
    assert proof.endswith(f"Signature={of_botocore(method, target, signed, body, credentials, region)}")
    assert f"Credential={credentials.access_key}/20261122/{region}/s3/aws4_request, " in proof
    assert f"SignedHeaders={';'.join(sorted(signed))}, " in proof
    assert signed.get("x-amz-security-token") == credentials.token


@pytest.mark.parametrize("text", ["a b", "a+b", "100%", "?&=#", "ü日本", "~-_.", "!*'();:@$,[]"])
def test_encoded_text_can_be_decoded(text: str) -> None:
    assert urllib.parse.unquote(encoded(text)) == text
    assert set(encoded(text)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~%")


def test_a_safe_slash_is_not_encoded() -> None:
    assert encoded("a/b c", safe="/") == "a/b%20c"
    assert encoded("a/b c") == "a%2Fb%20c"


def test_the_signing_key_changes_every_day() -> None:
    def proof(day: int) -> str:
        moment = datetime.datetime(2026, 11, day, 15, 30, tzinfo=datetime.UTC).timetuple()
        given = {"host": "h"}
        return signed_headers(
            "GET",
            "/",
            "",
            given,
            b"",
            region="eu-west-1",
            credentials=PERMANENT,
            time=time.strftime(TIME_FORMAT, moment),
        )["authorization"]

    assert proof(22) != proof(23)
    assert "/20261123/" in proof(23)
