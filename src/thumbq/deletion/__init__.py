"""A job is deleted: a tombstone says so, and nothing of it is left in the store."""
