"""Copy the candidate's artifacts and images into this account, pinned and verified."""
