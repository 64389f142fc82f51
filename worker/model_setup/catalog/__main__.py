"""`python -m worker.model_setup.catalog` is `stemqueue-models`."""

from worker.model_setup.catalog.command import main

if __name__ == "__main__":
    main(prog_name="stemqueue-models")
