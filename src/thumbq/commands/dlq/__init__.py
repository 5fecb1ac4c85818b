"""What `thumbq dlq` does: dead letters are listed, shown, sent back to the queue, and removed."""
