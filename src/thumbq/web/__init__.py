"""The HTTP side: uploads in, job states and renditions out."""
