"""The killable process pool behind the Renderer port."""
