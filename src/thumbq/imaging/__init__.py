"""What happens to pixels. Runs in a render child only."""
