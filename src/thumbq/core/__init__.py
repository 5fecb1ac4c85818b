"""The pure part: words, keys, messages, manifests and decisions. No input or output."""
