import pytest

from promotion.aws.s3_uri import bucket_and_key
from promotion.errors import PromotionRefusedError


@pytest.mark.parametrize(
    ("uri", "bucket", "key"),
    [
        ("s3://artifacts/model.tar.gz", "artifacts", "model.tar.gz"),
        ("s3://my.bucket-1/a/b/c", "my.bucket-1", "a/b/c"),
        ("s3://artifacts/prefix/", "artifacts", "prefix/"),
        ("s3://artifacts/a+b & c=%25#d?e", "artifacts", "a+b & c=%25#d?e"),
        ("s3://artifacts/größe/模型.tar.gz", "artifacts", "größe/模型.tar.gz"),
        ("s3://artifacts/..a/b..", "artifacts", "..a/b.."),
        ("s3://artifacts/" + "k" * 1024, "artifacts", "k" * 1024),
        ("s3://" + "b" * 63 + "/k", "b" * 63, "k"),
    ],
)
def test_a_uri_is_split_into_bucket_and_key(uri: str, bucket: str, key: str) -> None:
    assert bucket_and_key(uri) == (bucket, key)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "model.tar.gz",
        "s3://artifacts",
        "s3://artifacts/",
        "s3:///key",
        "s3://artifacts//key",
        "https://artifacts.s3.amazonaws.com/key",
        "file:///etc/passwd",
        "s3a://artifacts/key",
        "S3://artifacts/key",
        " s3://artifacts/key",
        "s3://Artifacts/key",
        "s3://my_bucket/key",
        "s3://ab/key",
        "s3://" + "b" * 64 + "/key",
        "s3://-bucket/key",
        "s3://artifacts/" + "k" * 1025,
        "s3://artifacts/" + "ü" * 513,
    ],
)
def test_an_invalid_object_uri_is_refused(uri: str) -> None:
    with pytest.raises(
        PromotionRefusedError, match=r"is not the URI of an S3 object\. Use the form s3://<bucket>/<key>"
    ):
        bucket_and_key(uri)


@pytest.mark.parametrize("key", ["../x", "a/../b", "./a", "a/.", "..", "a/./b"])
def test_a_key_with_dot_segments_is_refused(key: str) -> None:
    with pytest.raises(PromotionRefusedError, match="which clients resolve to another key"):
        bucket_and_key(f"s3://artifacts/{key}")


@pytest.mark.parametrize("character", ["\x00", "\n", "\r", "\x7f", "\u202e", "\ud800", "\u2028"])
def test_a_key_with_unprintable_characters_is_refused_and_escaped_in_the_message(character: str) -> None:
    with pytest.raises(PromotionRefusedError) as error:
        bucket_and_key(f"s3://artifacts/a{character}b")

    assert "contains unprintable characters" in str(error.value)
    assert str(error.value).isprintable()
    assert str(error.value).isascii()
