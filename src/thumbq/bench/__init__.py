"""The benchmark of renders: what is rendered, what it is compared to, and the clock. Commands run it in the pool.

``cases`` and ``figures`` are words for the parent too; the other modules load Pillow and are for children only.
"""
