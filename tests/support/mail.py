"""The notifications that a test's operators receive."""

from embedded_aws.aws import EmbeddedAws
from tests.support.waiting import wait_until


def mail(aws: EmbeddedAws, *words: str) -> str:
    """The first notification in which all of `words` stand."""

    def look() -> str | None:
        written = aws.directory / "notifications.log"
        notifications = written.read_text().split("\n2") if written.exists() else []
        return next((text for text in notifications if all(word in text for word in words)), None)

    return wait_until(look, f"a notification with {words}")
