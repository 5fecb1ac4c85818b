"""The page: static files, and no more of it in Python than to serve them."""
