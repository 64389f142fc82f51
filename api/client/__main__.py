"""`python -m api.client` is the command `stemqueue`."""

from api.client.cli import main

main()
