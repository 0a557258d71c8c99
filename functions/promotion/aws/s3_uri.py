"""S3 URIs, and the buckets and keys they stand for."""

from __future__ import annotations

import re
import urllib.parse

from promotion.errors import PromotionRefusedError

# S3 user guide, "General purpose bucket naming rules": what the names of buckets look like, and what may not be one.
# What the last ones stand for (access points, directory buckets, tables) has other versions and checksums.
_URI = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>.*)")


_NO_BUCKET = re.compile(
    r"[0-9]+(\.[0-9]+){3}|.*\.\..*|(xn--|sthree-|amzn-s3-demo-).*|.*(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)"
)


def bucket_and_key(uri: str, where: str = "") -> tuple[str, str]:
    """Split `s3://bucket/key`; raises PromotionRefusedError, saying `where` it stands, for what is no such address."""
    shown = f"{where} is {uri!a:.200}, which" if where else f"{uri!a:.200}"
    if not uri.isprintable():
        raise PromotionRefusedError(f"{shown} has characters that cannot be shown.")
    match = _URI.fullmatch(uri)
    if not match or not match["key"] or match["key"].startswith("/") or len(match["key"].encode()) > 1024:
        raise PromotionRefusedError(f"{shown} is not the address of an object in S3: s3://<bucket>/<key>.")
    if _NO_BUCKET.fullmatch(match["bucket"]):
        raise PromotionRefusedError(
            f"{shown} is in no general purpose bucket of S3, but in what may not be called one."
        )
    if is_resolved_away(match["key"]):
        raise PromotionRefusedError(f"{shown} has '.' or '..' as a part of its key, which clients resolve away.")
    return match["bucket"], match["key"]


def is_resolved_away(key: str) -> bool:
    """Whether some client would take a part of the key for a folder above, be it written %2e%2e or after a "\\"."""
    before = ""
    while before != key:
        before, key = key, urllib.parse.unquote(key)
    return any(part in (".", "..") for part in re.split(r"[/\\]", key))
