"""The bus: one submission from its plan to its result, at the requester's own site. Pure: effects go through ports."""
