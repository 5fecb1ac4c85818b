"""What the commands do, without argv and exit codes; one module each."""
