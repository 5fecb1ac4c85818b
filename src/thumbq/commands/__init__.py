"""What the commands do, without argv and exit codes; a module or a folder each."""
