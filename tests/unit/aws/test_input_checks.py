from promotion.aws.input_checks import did_you_mean


def test_a_similar_value_is_suggested() -> None:
    assert did_you_mean("rolback", ["recover", "rollback"]) == ' (did you mean "rollback"?)'


def test_a_value_in_another_case_is_suggested() -> None:
    assert did_you_mean("ROLLBACK", {"recover": 1, "rollback": 2}) == ' (did you mean "rollback"?)'


def test_the_most_similar_value_is_suggested() -> None:
    assert did_you_mean("InstanceTyp", ["InstancePools", "InstanceType"]) == ' (did you mean "InstanceType"?)'


def test_nothing_is_suggested_for_a_value_that_resembles_none() -> None:
    assert did_you_mean("colour", ["recover", "rollback"]) == ""
