"""EC2's offerings of instance types, which moto would keep in memory for every Region."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from moto.ec2.models import instance_types, instances, spot_requests
from moto.utilities.utils import load_resource

from embedded_aws.kernel.patching import Patches

_FOLDER = "ec2/resources/instance_type_offerings"

patches = Patches("5.2.5")


class _Offerings(Mapping[str, list[dict[str, Any]]]):
    """The offerings of each Region for one type of location, which are read whenever they are requested."""

    def __init__(self, location_type: str) -> None:
        self._location_type = location_type
        files = (resources.files("moto") / _FOLDER / location_type).iterdir()
        self._regions = {file.name.partition(".")[0] for file in files}

    def __getitem__(self, region: str) -> list[dict[str, Any]]:
        if region not in self._regions:
            raise KeyError(region)
        offerings = load_resource(f"{_FOLDER}/{self._location_type}/{region}.json")
        return [{**offering, "LocationType": self._location_type} for offering in offerings]

    def __iter__(self) -> Iterator[str]:
        return iter(self._regions)

    def __len__(self) -> int:
        return len(self._regions)


_OFFERINGS = {folder.name: _Offerings(folder.name) for folder in (resources.files("moto") / _FOLDER).iterdir()}
for _module in (instance_types, instances, spot_requests):
    patches.replace(_module, "INSTANCE_TYPE_OFFERINGS", _OFFERINGS, "moto keeps the offerings of all Regions: 44 MB.")
