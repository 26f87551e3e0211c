"""``python -m snc`` is the ``snc`` command."""

from snc.compiler.cli import main

if __name__ == "__main__":
    main()
