"""Who did what, in a log that nobody alters unseen: CADF events, written with the change they tell of, sealed in a Merkle tree."""
