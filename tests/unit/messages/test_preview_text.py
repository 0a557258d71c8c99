import json
from typing import Any

from promotion.messages import preview_text

PREVIEW: dict[str, Any] = {
    "outcome": "preview",
    "would_be": "approval_requested",
    "why": "The endpoint reviews-qa would be updated to reviews-2 after an approval.",
    "candidate": {
        "source_arn": "arn:aws:sagemaker:eu-west-1:111111111111:training-job/reviews-2",
        "digest": "ab" * 32,
        "metrics": {"f1": 0.91},
        "not_pinned": [],
        "secrets": ["Containers[0].Environment.API_TOKEN"],
    },
    "quality_gate": [{"passed": True, "reason": "f1 is 0.91, at least 0.9"}],
    "copy": {
        "sentence": "2 objects of 5 bytes would be copied to s3://stage/x/; 0 already exist.",
        "images": ["a to b"],
    },
    "create": ["The model reviews-2 would be created.", "The endpoint config reviews-2 would be created."],
    "change": {
        "rollback": "After a failure, the endpoint would be rolled back to reviews-1.",
        "in_the_model": [{"what": "PrimaryContainer.Environment.THREADS", "from": "1", "to": "2"}],
        "in_the_endpoint_config": [],
        "notes": ["The stage allows 5,400 seconds."],
    },
    "remove": {"sentence": "Nothing would be removed.", "endpoint_configs": [], "models": [], "artifacts": []},
}


def test_a_preview_reads_like_a_report_that_begins_with_the_verdict() -> None:
    assert preview_text.markdown(PREVIEW) == (
        "## Would be approval requested\n"
        "\n"
        "- The endpoint reviews-qa would be updated to reviews-2 after an approval.\n"
        "\n"
        "## Candidate\n"
        "\n"
        "- Source: arn:aws:sagemaker:eu-west-1:111111111111:training-job/reviews-2\n"
        f"- Digest: {'ab' * 32}\n"
        "- Metrics: f1 0.91\n"
        "- Secrets: Containers[0].Environment.API_TOKEN\n"
        "\n"
        "## Quality gate\n"
        "\n"
        "- f1 is 0.91, at least 0.9\n"
        "\n"
        "## Copy\n"
        "\n"
        "- 2 objects of 5 bytes would be copied to s3://stage/x/; 0 already exist.\n"
        "- Image a to b\n"
        "\n"
        "## Create\n"
        "\n"
        "- The model reviews-2 would be created.\n"
        "- The endpoint config reviews-2 would be created.\n"
        "\n"
        "## Change\n"
        "\n"
        "- PrimaryContainer.Environment.THREADS: from 1 to 2\n"
        "- After a failure, the endpoint would be rolled back to reviews-1.\n"
        "- The stage allows 5,400 seconds.\n"
        "\n"
        "## Remove\n"
        "\n"
        "- Nothing would be removed."
    )


def test_a_section_without_content_is_left_out() -> None:
    assert "Quality gate" not in preview_text.markdown(PREVIEW | {"quality_gate": []})


def test_no_value_of_a_model_adds_a_line_or_a_link() -> None:
    change = PREVIEW["change"] | {"in_the_model": [{"what": "X", "from": "1", "to": "a\n# b\nhttps://example.com"}]}

    assert "- X: from 1 to a # b example.com\n" in preview_text.markdown(PREVIEW | {"change": change})


def test_a_large_preview_fits_into_the_output_of_a_script() -> None:
    changes = [{"what": f"Environment.V{number}", "from": "🙂" * 300, "to": "🙃" * 300} for number in range(50)]
    change = PREVIEW["change"] | {"in_the_model": changes}

    text = preview_text.markdown(PREVIEW | {"change": change})

    assert text.endswith("The rest is in the execution.")
    assert len(json.dumps({"text": text})) < 100 * 1024


def test_the_first_changes_are_shown_and_the_others_are_counted() -> None:
    changes = [{"what": f"Environment.V{number}", "from": "1", "to": "2"} for number in range(25)]
    change = PREVIEW["change"] | {"in_the_model": changes}

    text = preview_text.markdown(PREVIEW | {"change": change})

    assert "- Environment.V19: from 1 to 2\n- And 5 more.\n- After a failure" in text
