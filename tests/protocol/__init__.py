"""The protocol's test vectors: one small true story, and a second reading of it that shares no code with the first."""
