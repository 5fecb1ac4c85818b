"""What `thumbq bench service` does: a real `thumbq serve` gets jobs, and what it uses is read from outside."""
