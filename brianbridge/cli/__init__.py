"""The command ``brianbridge``: one module a command, each imported with what it needs when it is used."""

from brianbridge.cli.entry import main

__all__ = ["main"]
