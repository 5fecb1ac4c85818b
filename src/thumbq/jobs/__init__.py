"""Jobs: a message in, a disposition out. What the worker and AWS Lambda have in common."""
