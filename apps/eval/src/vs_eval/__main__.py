"""`python -m vs_eval`."""

from vs_eval.app import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
