"""`python -m permask` is the permask command."""

from permask.cli.main import main

if __name__ == "__main__":
    main()
