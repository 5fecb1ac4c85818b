"""The benchmark of renders: what is rendered, what it is compared to, and the clock. Commands run it in the pool.

``samples``, ``references`` and ``timing`` load Pillow and are for children only, which ``childside`` sends there.
"""
