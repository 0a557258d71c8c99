"""The documentation matches the code, the examples and the templates."""

import functools
import json
import re
import tomllib
from pathlib import Path

import boto3
import pytest
from samcli.cli.types import CfnParameterOverridesType

from docs import acceptance, effects, limits, messages, picture, probes
from embedded_aws.services.cloudformation import templates
from promotion.endpoint import smoke_test
from promotion.plan import compatibility, settings
from promotion.plan.deployment import Deployment
from promotion.source import request
from tests.hostile_inputs.attacks import attacks
from tests.linter import Project
from tests.support.acceptance import OTHERS, TRAINING_JOBS, Row

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    path for pattern in ("*.md", "docs/*.md", "events/*.md", "embedded_aws/*.md") for path in sorted(ROOT.glob(pattern))
]
SETTINGS = sorted((ROOT / "events/settings").glob("*.json"))
DEFAULTS = {"EndpointConfig": {"ProductionVariants": [{"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}]}}


def test_the_pictures_of_the_architecture_are_current() -> None:
    page = picture.PAGE.read_text()

    assert picture.with_diagrams(page) == page, "run `make docs`"


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ([], "begin with"),
        (["Plan copy"], "begin with"),
        (["No such state"], "has no state No such state"),
    ],
)
def test_a_page_whose_pictures_omit_states_is_rejected(marks: list[str], message: str) -> None:
    page = "".join(f"<!-- picture from {mark} -->\n<!-- end of the picture -->\n" for mark in marks)

    with pytest.raises(ValueError, match=message):
        picture.with_diagrams(page)


def test_every_state_and_every_catch_is_in_a_picture() -> None:
    states = Project.read().definition["States"]
    pictures = re.findall(r"```mermaid\n(%%.*?)```", picture.PAGE.read_text(), re.DOTALL)

    drawn = {name for found in pictures for name in re.findall(r'(?m)^    s\d+[^>"]*"([^"<]+)', found)}
    arrows = [arrow for found in pictures for arrow in _arrows(found)]

    assert drawn == set(states)
    assert {(name, catch["Next"]) for name, state in states.items() for catch in state.get("Catch", [])} <= set(arrows)


def _arrows(flowchart: str) -> list[tuple[str, str]]:
    """Return the arrows of a picture; the arrow for a group of states is one arrow for each of them."""
    names = dict(re.findall(r'(?m)^    (s\d+)\W+"([^"<]+)', flowchart))
    grouped = re.findall(r"(?m)^    class ([\w,]+),caught caught$", flowchart)
    sources = {"caught": grouped[0].split(",") if grouped else []}
    arrows = re.findall(r"(?m)^    (\w+) -.*-> (s\d+)$", flowchart)
    return [(names[source], names[end]) for start, end in arrows for source in sources.get(start, [start])]


def test_the_quotas_on_the_page_of_limits_are_current() -> None:
    page = limits.PAGE.read_text()

    assert limits.with_table(page) == page, "run `make docs`"


def test_the_probes_on_their_page_are_current() -> None:
    page = probes.PAGE.read_text()

    assert probes.with_table(page) == page, "run `make docs`"


def test_the_effects_on_the_security_page_are_current() -> None:
    page = effects.PAGE.read_text()

    assert effects.with_table(page) == page, "run `make docs`"


@functools.cache
def _tests() -> set[str]:
    """Return the names of all test functions."""
    return {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"(?m)^def (test_\w+)\(", path.read_text())
    }


def test_the_sources_and_results_are_current() -> None:
    page = acceptance.PAGE.read_text()

    assert acceptance.with_table(page) == page, "run `make docs`"


@pytest.mark.parametrize("row", [*TRAINING_JOBS, *OTHERS], ids=lambda row: row.source)
def test_every_source_has_a_test_and_a_result_that_the_product_has(row: Row) -> None:
    refusals = re.findall('"([^"]+)"', row.result)

    assert row.tests
    assert set(row.tests) <= _tests()
    assert bool(row.loaded) == row.result.startswith("promoted")
    for refusal in refusals:
        words = ".*".join(re.escape(part) for part in refusal.split("…"))
        assert re.search(words, messages.MESSAGES.read_text()), refusal


def test_every_threat_names_tests_that_exist() -> None:
    found, defined = list(attacks()), _tests()

    assert len(found) > 30
    for attack in found:
        assert attack.tests, attack
        assert set(attack.tests) <= defined, set(attack.tests) - defined


def test_the_events_in_the_readme_are_excerpts_of_the_examples() -> None:
    blocks = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    examples = ["training-job-completed", "promotion-succeeded"]

    for block, example in zip(blocks, examples, strict=True):
        shown, whole = json.loads(block), json.loads((ROOT / f"events/{example}.json").read_text())
        assert shown.pop("detail").items() <= whole.pop("detail").items()
        assert shown.items() <= whole.items()


@pytest.mark.parametrize(("record", "key"), [("v3", None), ("v2", "example")])
def test_the_examples_for_the_sdk_are_those_that_were_run_with_the_sdk(record: str, key: str | None) -> None:
    """After a change of an example, run tests/sdk_models/record_v3.py and record_v2.py, which execute it."""
    recorded = json.loads((ROOT / f"tests/sdk_models/{record}.json").read_text())
    run = recorded[key] if key else recorded

    assert run["readme"] in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert {next(iter(tag.values())): list(tag.values())[1] for tag in run["tags"]} == {
        "model-promotion:application": "reviews",
        "model-promotion:smoke-test": "s3://sagemaker-eu-west-1-111111111111/reviews/smoke-test.json",
    }


def test_every_example_in_python_was_run() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    blocks = [block for page in pages for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)]
    records = [json.loads((ROOT / f"tests/sdk_models/{name}.json").read_text()) for name in ("v3", "v2")]

    assert blocks == [records[0]["readme"], records[1]["example"]["readme"]]


def test_the_latest_release_in_the_changelog_is_the_version_of_the_project() -> None:
    releases = re.findall(r"(?m)^## \[(\d[^]]*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text())

    assert releases[0] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_stacks_are_deployed_in_one_order_everywhere() -> None:
    """A rule can forward events only to a bus that exists, and the policy of the bus must already permit it."""
    environments = tomllib.loads((ROOT / "samconfig.toml").read_text())
    order = [name for name, value in environments.items() if isinstance(value, dict) and "people" not in name]

    for page in ("README.md", "docs/deploying.md"):
        # A stage is added later.
        text = (ROOT / page).read_text().partition("\n## Add a stage")[0]
        assert re.findall(r"make deploy STAGE=([\w-]+)", text) == order, page
    table = re.findall(r"(?m)^\| `([\w-]+)` \|.*`(?:template|upstream).yaml`", (ROOT / "docs/deploying.md").read_text())
    assert table == order


def test_the_lists_in_samconfig_have_no_spaces_which_end_a_value() -> None:
    """SAM CLI separates parameters at spaces: of `UpstreamBuckets=a, b`, the stack would get only the first bucket."""
    environments = tomllib.loads((ROOT / "samconfig.toml").read_text())
    given = [
        parameter
        for value in environments.values()
        if isinstance(value, dict)
        for parameter in value["deploy"]["parameters"]["parameter_overrides"]
    ]

    assert CfnParameterOverridesType().convert(("UpstreamBuckets=a, b",), None, None) == {"UpstreamBuckets": "a,"}
    for parameter in given:
        name, value = parameter.split("=", 1)
        assert CfnParameterOverridesType().convert((parameter,), None, None) == {name: value}


def test_the_stacks_are_removed_in_the_opposite_order() -> None:
    """The bus of a stage has the rules of the stack that feeds the next stage; test_stack_lifecycle.py tries it."""
    environments = tomllib.loads((ROOT / "samconfig.toml").read_text())
    names = [value["deploy"]["parameters"]["stack_name"] for value in environments.values() if isinstance(value, dict)]
    rows = re.findall(r"(?m)^\| \d \| `([\w-]+)`", (ROOT / "docs/deploying.md").read_text())

    assert sorted(rows) == sorted(names)
    for removed_first, removed_later in [
        ("model-promotion-upstream-of-production", "model-promotion-qa"),
        ("model-promotion-upstream-of-production", "model-promotion-production"),
        ("model-promotion-upstream-of-qa", "model-promotion-qa"),
    ]:
        assert rows.index(removed_first) < rows.index(removed_later)


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_linked_file_exists(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("event", sorted((ROOT / "events").glob("*.json")), ids=lambda path: path.stem)
def test_every_example_of_an_event_is_accepted(event: Path) -> None:
    given = json.loads(event.read_text())

    accepted = request.read(given, given.get("account", "111111111111"), "222222222222", "eu-west-1")

    assert isinstance(accepted, request.Promote | request.Recover | request.RollBack)


def test_the_smoke_test_of_the_example_is_valid() -> None:
    suite = json.loads((ROOT / "examples/reviews/smoke-test.json").read_text())

    assert smoke_test.validated(suite, "the example")["cases"]


@pytest.mark.parametrize("example", SETTINGS, ids=lambda path: path.stem)
def test_every_example_of_settings_is_valid_and_can_be_deployed(example: Path) -> None:
    loaded = settings.read(example.read_text(), "/model-promotion/qa/reviews", DEFAULTS, "111111111111")

    refusals = compatibility.refusals(
        Deployment(
            settings=loaded,
            containers=[{"Image": "image", "ModelDataUrl": "s3://stage/model.tar.gz"}],
            mode="",
            isolated=False,
            suite=loaded.get("SmokeTest", "skip"),
            body_sizes=[0] if "SmokeTest" in loaded else [],
            endpoint="reviews-qa",
            live=None,
            alarms=set(),
        )
    )

    assert refusals == []


def test_the_documented_settings_are_the_examples_with_comments() -> None:
    blocks = re.findall(
        r"<!-- events/settings/([\w-]+)\.json -->\n```jsonc\n(.*?)```",
        (ROOT / "docs/settings.md").read_text(),
        re.DOTALL,
    )

    documented = {name: json.loads(re.sub(r"(?m)(^|\s)// .*$", "", block)) for name, block in blocks}

    assert documented == {example.stem: json.loads(example.read_text()) for example in SETTINGS}


def test_the_readme_of_the_events_lists_every_example_of_settings() -> None:
    listed = re.findall(r"`settings/([\w-]+)\.json` \|", (ROOT / "events/README.md").read_text())

    assert sorted(listed) == [example.stem for example in SETTINGS]


def test_the_description_of_every_alarm_of_a_stage_ends_with_a_link_to_the_console() -> None:
    resources = templates.load((ROOT / "template.yaml").read_text())["Resources"]
    alarms = {name: each for name, each in resources.items() if each["Type"] == "AWS::CloudWatch::Alarm"}
    longest = boto3.client("cloudwatch").meta.service_model.shape_for("AlarmDescription").metadata["max"]

    assert alarms
    for name, alarm in alarms.items():
        text, values = alarm["Properties"]["AlarmDescription"]["Fn::Sub"]
        assert re.search(r"[.] https://\$\{AWS::Region\}\.\$\{Domain\}/\S+$", text), name
        assert values == {"Domain": {"Fn::FindInMap": ["Console", {"Ref": "AWS::Partition"}, "Domain"]}}
        assert len(text) < longest - 200  # names are longer than their variables


@pytest.mark.parametrize("template", ["template.yaml", "application.yaml", "upstream.yaml"])
def test_the_operating_page_explains_every_alarm_and_the_required_action(template: str) -> None:
    alarms = re.findall(r"^  (\w+):\n    Type: AWS::CloudWatch::Alarm\n", (ROOT / template).read_text(), re.MULTILINE)
    section = (ROOT / "docs/operating.md").read_text().split("\n## Alarms\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if "|" in line]
    explained = {name: rest for names, *rest in rows for name in re.findall(r"`([^`]+)`", names)}

    assert set(alarms) <= set(explained)
    assert all(len(rest) == 2 and all(rest) for rest in explained.values())


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_linked_section_exists(document: Path) -> None:
    for target, section in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", document.read_text()):
        assert section in _sections(document.parent / target if target else document), (target, section)


def _sections(document: Path) -> set[str]:
    """Return GitHub's anchors of the headings of a page."""
    titles = re.findall(r"(?m)^##+ (.+)$", document.read_text())
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
