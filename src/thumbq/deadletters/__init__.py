"""Dead letters of a queue are listed, shown, sent back to it, and removed."""
