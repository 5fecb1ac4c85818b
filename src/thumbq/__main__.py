"""``python -m thumbq`` is ``thumbq``."""

from thumbq.cli import main

if __name__ == "__main__":
    main()
