"""Files and one SQLite database behind the ports."""
