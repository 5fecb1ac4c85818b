"""An upload comes in: the original is stored, and its job is queued."""
