"""S3 URIs, split into buckets and keys."""

from __future__ import annotations

import re
import urllib.parse

from promotion.errors import PromotionRefusedError

# S3 user guide, "General purpose bucket naming rules": the form of a bucket's name, and the reserved names. Some of the
# reserved names denote access points, directory buckets and tables, whose versions and checksums differ.
_URI = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>.*)")
_RESERVED = re.compile(
    r"[0-9]+(\.[0-9]+){3}|.*\.\..*|(xn--|sthree-|amzn-s3-demo-).*|.*(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)"
)


def bucket_and_key(uri: str, where: str = "") -> tuple[str, str]:
    """Split `s3://<bucket>/<key>` into bucket and key.

    Raise PromotionRefusedError if `uri` is not the URI of an object in a general purpose bucket. `where` is the place
    of the URI in the message: "The tag model-promotion:metrics".
    """
    shown = f"{where} is {uri!a:.200}, which" if where else f"{uri!a:.200}"
    if not uri.isprintable():
        raise PromotionRefusedError(f"{shown} contains unprintable characters. Replace them.")
    match = _URI.fullmatch(uri)
    if not match or not match["key"] or match["key"].startswith("/") or len(match["key"].encode()) > 1024:
        raise PromotionRefusedError(f"{shown} is not the URI of an S3 object. Use the form s3://<bucket>/<key>.")
    if _RESERVED.fullmatch(match["bucket"]):
        raise PromotionRefusedError(f"{shown} is not in a general purpose S3 bucket. Use a general purpose bucket.")
    if has_dot_segments(match["key"]):
        raise PromotionRefusedError(
            f"{shown} has '.' or '..' as a segment of its key, which clients resolve to another key. Rename the object."
        )
    return match["bucket"], match["key"]


def has_dot_segments(key: str) -> bool:
    """Return whether a client may resolve a part of `key` as `.` or `..`, also percent-encoded or after a backslash."""
    before = ""
    while before != key:
        before, key = key, urllib.parse.unquote(key)
    return any(part in (".", "..") for part in re.split(r"[/\\]", key))
