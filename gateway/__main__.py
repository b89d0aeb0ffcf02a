"""`python -m gateway` is `capsule-gateway`."""

from gateway.cli import main

main()
