"""The result of a copy."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass
class Summary:
    """The result of a batch; `verified_by` counts its objects by verification: a checksum algorithm, or "size"."""

    copied: int = 0
    already_present: int = 0
    bytes: int = 0
    without_tags: int = 0
    verified_by: dict[str, int] = dataclasses.field(default_factory=dict)

    def __add__(self, other: Summary) -> Summary:
        """Return the common result of two batches."""
        proofs = self.verified_by.keys() | other.verified_by.keys()
        return Summary(
            self.copied + other.copied,
            self.already_present + other.already_present,
            self.bytes + other.bytes,
            self.without_tags + other.without_tags,
            {proof: self.verified_by.get(proof, 0) + other.verified_by.get(proof, 0) for proof in sorted(proofs)},
        )
