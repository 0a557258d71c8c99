"""Parameters, conditions and intrinsic functions of CloudFormation templates."""

from typing import Any

import pytest

from embedded_aws.services.cloudformation.templates import Template, TemplateError, load

PSEUDO = {"AWS::AccountId": "222222222222", "AWS::Region": "eu-west-1", "AWS::StackName": "stack"}


class Existing:
    """Resources that exist for every logical ID and have every attribute."""

    def reference(self, logical_id: str) -> str:
        return f"id-of-{logical_id}"

    def attribute(self, logical_id: str, name: str) -> Any:
        return f"{name}-of-{logical_id}"


def template(text: str, **parameters: str) -> Template:
    return Template(load(text), parameters, PSEUDO)


def resolved(value: str, declarations: str = "", **parameters: str) -> Any:
    """Return `value` as the resolved property of a resource."""
    text = f"{declarations}\nResources:\n  Other:\n    Type: T\n  R:\n    Type: T\n    Properties:\n      P: {value}\n"
    return template(text, **parameters).properties("R", Existing()).get("P", "nothing")


PARAMETERS = """
Parameters:
  Name: {Type: String, Default: n}
  Count: {Type: Number, Default: '3'}
  List: {Type: CommaDelimitedList, Default: 'a, b,c'}
Conditions:
  IsN: !Equals [!Ref Name, n]
  NotN: !Not [!Condition IsN]
  Both: !And [!Condition IsN, !Condition NotN]
  Either: !Or [!Condition IsN, !Condition NotN]
  Truth: !Equals [!Sub '${Name}', true]
Mappings:
  Sizes:
    eu-west-1: {small: 1}
"""


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("!Ref Name", "n"),
        ("!Ref Count", 3),
        ("!Ref List", ["a", "b", "c"]),
        ("!Ref Other", "id-of-Other"),
        ("!Ref AWS::Partition", "aws"),
        ("!Ref AWS::NoValue", "nothing"),
        ("[1, !Ref AWS::NoValue]", [1]),
        ("!GetAtt Other.Arn", "Arn-of-Other"),
        ("!GetAtt [Other, Outputs.X]", "Outputs.X-of-Other"),
        (
            "!Sub '${Name}-${Count}-${Other}-${Other.Arn}-${AWS::AccountId}'",
            "n-3-id-of-Other-Arn-of-Other-222222222222",
        ),
        ("!Sub '${!Name} $Name $${Name} {{ x }}'", "${Name} $Name $n {{ x }}"),
        ("!Sub ['${x}/${Name}', {x: !Join ['', [a, !Ref Count]]}]", "a3/n"),
        ("!Join ['-', [a, !Ref Count, true]]", "a-3-true"),
        ("!Join [',', !Ref List]", "a,b,c"),
        ("!Split ['|', 'bus|rule']", ["bus", "rule"]),
        ("!Select [1, !Split ['|', 'bus|rule']]", "rule"),
        ("!Select [0, !Ref List]", "a"),
        ("!FindInMap [Sizes, !Ref AWS::Region, small]", 1),
        ("!Base64 x", "eA=="),
        ("!If [IsN, a, b]", "a"),
        ("!If [NotN, a, b]", "b"),
        ("!If [Both, a, b]", "b"),
        ("!If [Either, a, b]", "a"),
        ("!If [Truth, a, b]", "b"),
        ("!If [NotN, a, !Ref AWS::NoValue]", "nothing"),
        ("{Version: 2012-10-17}", {"Version": "2012-10-17"}),
    ],
)
def test_intrinsic_functions(value: str, result: Any) -> None:
    assert resolved(value, PARAMETERS) == result


def test_parameters_override_their_defaults() -> None:
    assert resolved("!If [Truth, !Ref Count, b]", PARAMETERS, Name="true", Count="1.5") == 1.5


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("!Ref Nothing", "Unresolved resource dependencies [Nothing] in the Resources block"),
        ("!Sub '${Nothing.Arn}'", "Unresolved resource dependencies [Nothing]"),
        ("!GetAtt Nothing.Arn", "Unresolved resource dependencies [Nothing]"),
        ("!If [Nothing, a, b]", "Unresolved condition dependency Nothing"),
        ("!Select [3, !Ref List]", "nonexistent value at index 3"),
        ("!FindInMap [Sizes, x, small]", "Unable to get mapping"),
        ("!Join [!Ref Name, [a, b]]", "every Fn::Join object requires (1) a string delimiter"),
        ("!Split [!Ref Name, 'a,b']", "every Fn::Split object requires (1) a string delimiter"),
        ("!ImportValue x", "Unsupported function Fn::ImportValue"),
        ("'{{resolve:ssm:/x}}'", "Dynamic references"),
        ("!Ref R", "Circular dependency between resources: [R]"),
    ],
)
def test_a_value_that_cannot_be_resolved_is_refused(value: str, reason: str) -> None:
    with pytest.raises(TemplateError) as error:
        resolved(value, PARAMETERS)

    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("limits", "value", "reason"),
    [
        ("AllowedPattern: '[a-z]+'", "A", "must match pattern [a-z]+"),
        ("AllowedPattern: '[a-z]+'", "aA", "must match pattern [a-z]+"),
        ("AllowedValues: [a, b]", "c", "must be one of AllowedValues: [a, b]"),
        ("MinLength: 2", "a", "at least 2 characters"),
        ("MaxLength: 2", "abc", "at most 2 characters"),
        ("Type: Number, MinValue: 2", "1", "not less than 2"),
        ("Type: Number, MaxValue: 2", "3", "not greater than 2"),
        ("Type: Number", "x", "must be a number"),
        ("Type: CommaDelimitedList, AllowedPattern: '[a-z]'", "a,B", "must match pattern"),
        ("AllowedValues: [a], ConstraintDescription: wants an a", "b", "wants an a"),
    ],
)
def test_a_parameter_that_violates_a_constraint_is_refused(limits: str, value: str, reason: str) -> None:
    kind = "" if "Type" in limits else "Type: String, "

    with pytest.raises(TemplateError) as error:
        resolved("x", f"Parameters: {{X: {{{kind}{limits}}}}}", X=value)

    assert "Parameter 'X'" in str(error.value)
    assert reason in str(error.value)


def test_missing_and_unknown_parameters_are_refused() -> None:
    with pytest.raises(TemplateError, match=r"Parameters: \[X\] must have values"):
        resolved("x", "Parameters: {X: {Type: String}}")
    with pytest.raises(TemplateError, match=r"Parameters: \[Y\] do not exist in the template"):
        resolved("x", Y="1")


def test_resources_follow_their_dependencies() -> None:
    text = """
Parameters: {With: {Type: String, Default: 'yes'}}
Conditions: {HasLast: !Equals [!Ref With, 'yes']}
Resources:
  Third: {Type: T, Properties: {A: !Sub '${Second.Arn}'}}
  Second: {Type: T, DependsOn: First}
  First: {Type: T, Properties: {A: !If [HasLast, !GetAtt Zeroth.Arn, x]}}
  Zeroth: {Type: T, Condition: HasLast}
"""

    assert template(text).order == ["Zeroth", "First", "Second", "Third"]
    assert template(text, With="no").order == ["First", "Second", "Third"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Resources: {A: {Type: T, Properties: {x: !Ref B}}, B: {Type: T, DependsOn: A}}", "Circular dependency"),
        ("Resources: {A: {Type: T, DependsOn: B}}", "Unresolved resource dependencies [B]"),
        ("Resources: {A: {Type: T, Condition: C}}", "Unresolved condition dependency C"),
        ("Resources: {A: {Type: T}}\nOutputs: {O: {Value: !Ref B}}", "[B] in the Outputs block"),
        ("Conditions: {C: !Equals [!Ref A, 1]}\nResources: {A: {Type: T}}", "[A] in the Conditions block"),
        ("Outputs: {}", "At least one Resources member"),
        ("Resources: [", "Template format error"),
    ],
)
def test_an_invalid_template_is_refused(text: str, reason: str) -> None:
    with pytest.raises(TemplateError) as error:
        template(text)

    assert reason in str(error.value)


def test_outputs_with_a_false_condition_are_omitted() -> None:
    text = """
Parameters: {With: {Type: String}}
Conditions: {Has: !Equals [!Ref With, 'yes']}
Resources: {A: {Type: T}, B: {Type: T, Condition: Has}}
Outputs:
  A: {Value: !GetAtt A.Arn}
  B: {Value: !Ref B, Condition: Has}
"""

    assert template(text, With="no").outputs(Existing()) == {"A": {"Value": "Arn-of-A"}}
    assert template(text, With="yes").outputs(Existing())["B"]["Value"] == "id-of-B"


RULES = """
Parameters:
  Needed: {Type: String, Default: 'true'}
  Names: {Type: CommaDelimitedList, Default: ''}
Rules:
  NamesRequired:
    RuleCondition: !Equals [!Ref Needed, 'true']
    Assertions:
      - Assert: !Not [!Contains [!Ref Names, '']]
        AssertDescription: Set Names.
Resources: {A: {Type: T}}
"""


@pytest.mark.parametrize(("parameters", "refused"), [({}, True), ({"Needed": "false"}, False), ({"Names": "a"}, False)])
def test_a_rule_refuses_parameters_if_its_condition_holds(parameters: dict[str, str], refused: bool) -> None:
    if not refused:
        assert template(RULES, **parameters).order == ["A"]
        return
    with pytest.raises(TemplateError, match=r"NamesRequired: Set Names\."):
        template(RULES, **parameters)
