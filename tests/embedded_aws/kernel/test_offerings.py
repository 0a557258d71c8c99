"""EC2 offers the instance types of moto's files, although they are not kept in memory."""

import pytest
from moto.ec2.models import instance_types

from embedded_aws.aws import EmbeddedAws
from embedded_aws.iam import clients
from embedded_aws.kernel.accounts import ACCOUNTS


@pytest.mark.parametrize(
    ("region", "location_type", "locations"),
    [
        ("eu-west-1", "region", {"eu-west-1"}),
        ("us-west-2", "availability-zone", {"us-west-2a", "us-west-2b", "us-west-2c", "us-west-2d"}),
    ],
)
def test_an_instance_type_is_offered_in_its_locations(
    aws: EmbeddedAws, region: str, location_type: str, locations: set[str]
) -> None:
    ec2 = clients.client_as_operator("ec2", ACCOUNTS["qa"], region)

    offerings = ec2.describe_instance_type_offerings(
        LocationType=location_type, Filters=[{"Name": "instance-type", "Values": ["m5.large"]}]
    )["InstanceTypeOfferings"]

    assert {offering["Location"] for offering in offerings} == locations
    assert {(offering["InstanceType"], offering["LocationType"]) for offering in offerings} == {
        ("m5.large", location_type)
    }


def test_a_region_without_a_file_has_no_offerings(aws: EmbeddedAws) -> None:
    offerings = instance_types.INSTANCE_TYPE_OFFERINGS["region"]

    assert len(offerings) == len(list(offerings)) > 20
    assert offerings.get("eu-nowhere-1", []) == []
