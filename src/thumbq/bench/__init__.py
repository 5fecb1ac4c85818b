"""The benchmark of renders: inputs, references and the clock. Commands run it in the pool.

``samples``, ``references`` and ``timing`` load Pillow and are for render processes only; ``renderfunction`` sends them
there.
"""
