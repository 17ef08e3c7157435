"""``brianbridge models``: the model files that come with brianbridge."""

import tomllib

from brianbridge.cli.answers import Answer
from brianbridge.cli.tables import table

HELP = "list the models that come with brianbridge"
DESCRIPTION = "Lists the models that come with brianbridge, and where their equations are published."
EXAMPLE = "  brianbridge models"


def add_arguments(parser):
    """No arguments of its own."""


def carry_out(arguments):
    """List the files of the folder ``equations``."""
    from brianbridge.model.files import equations_folder, model_names

    found = []
    for name in model_names():
        path = equations_folder() / f"{name}.toml"
        source = tomllib.loads(path.read_text(encoding="utf-8")).get("source", "")
        found.append({"name": name, "source": source, "file": str(path)})
    text = table(("name", "source"), [(model["name"], model["source"]) for model in found])
    return Answer({"models": found}, text)
