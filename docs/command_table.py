"""The commands of brianbridge with their arguments, read from the modules that define them."""

import re

from brianbridge.cli.entry import COMMANDS

HEADING = "| argument | meaning |\n|---|---|\n"
JSON = ("--json",), {"action": "store_true", "help": "print one JSON object"}


class _Arguments(list):
    """Takes arguments as `argparse.ArgumentParser` does, and keeps them."""

    def add_argument(self, *names, **settings):
        self.append((names, settings))


def table():
    """One part for each command, as Markdown."""
    return "\n".join(_part(command) for command in COMMANDS)


def _part(command):
    arguments = _Arguments()
    command.add_arguments(arguments)
    what, *lists = command.DESCRIPTION.split("\n\n")
    lists = [f"```text\n{text}\n```" for text in lists]
    example = re.sub(r"^  (?=brianbridge)", "$ ", command.EXAMPLE, flags=re.M)
    rows = "\n".join(_row(*argument) for argument in [*arguments, JSON])
    parts = f"## {command.__name__.rpartition('.')[2]}", what, f"```console\n{example}\n```", HEADING + rows
    return "\n\n".join([*parts, *lists]) + "\n"


def _row(names, settings):
    options = [name for name in names if name.startswith("-")]
    value = settings.get("metavar") or "|".join(settings.get("choices", ()))
    if not value and options and settings.get("action") != "store_true":
        value = settings.get("type", str).__name__.replace("int", "N").replace("str", "NAME")
    value = {"+": f"{value} ...", "?": f"[{value}]"}.get(settings.get("nargs"), value)
    usage = " ".join(filter(None, [*options, value])).replace("|", "\\|")
    return f"| `{usage}` | {_meaning(settings)} |"


def _meaning(settings):
    text = settings.get("help", "")
    default = settings.get("default")
    if default not in (None, [], 0) and "default" not in text:
        text = "; ".join(filter(None, [text, f"default: {default}"]))
    return re.sub(r"(?<!\w)(--[a-z-]+)", r"`\1`", text).replace("|", "\\|")
