"""`python -m vs_eval`."""

from vs_eval.app import main

if __name__ == "__main__":
    main()
