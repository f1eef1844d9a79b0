"""Pictures of a submission as SVG, drawn from values: when what ran, and what feeds what."""
