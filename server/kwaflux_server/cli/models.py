"""``kwaflux models``: the factory of effects, each command in a process of its own.

A command's options are the module's own: they are passed on as they are, and so is its exit status.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import typer

from kwaflux_core.errors import RequestError
from kwaflux_server.cli.console import OUT

__all__ = ["FACTORY", "FactoryCommand", "models", "run_module"]

models = typer.Typer(
    name="models",
    help="Make, judge and add effects: pictures, degradations, training, scores.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@models.callback()
def _overview(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        OUT.print(context.get_help(), markup=False)


@dataclass(frozen=True, slots=True)
class FactoryCommand:
    """A command that is a module.

    Attributes:
        module: What ``python -m`` runs.
        needs: Modules of the training extra without which it cannot start.
        summary: What it does, one sentence.
    """

    module: str
    needs: tuple[str, ...]
    summary: str


FACTORY: dict[str, FactoryCommand] = {
    "data": FactoryCommand(
        "kwaflux_models.training.pictures.download",
        ("numpy", "PIL"),
        "Fetch the pictures that training starts from; print each source's licence and split.",
    ),
    "degrade": FactoryCommand(
        "kwaflux_models.training.contact_sheet",
        ("torch", "safetensors", "PIL", "av", "scipy", "skimage"),
        "Draw clean and degraded samples of the training (--effect NAME --out FILE --seed N).",
    ),
    "train": FactoryCommand(
        "kwaflux_models.training.train",
        ("torch", "safetensors", "PIL", "av", "scipy"),
        "Train an effect from its recipe (EFFECT --hours H --device auto --resume).",
    ),
    "evaluate": FactoryCommand(
        "kwaflux_models.evaluation.run.evaluate",
        ("torch", "safetensors", "PIL", "av", "scipy", "skimage"),
        "Score the effects beside their peers on the published test set.",
    ),
}


def run_module(module: str, arguments: Sequence[str], *, needs: Sequence[str] = ()) -> int:
    """Run ``python -m module`` with this terminal as its own, and wait for its end.

    A training run lasts as long as it was asked to: the one who waits is the person at the
    terminal, whose interrupt reaches the child as well.

    Args:
        module: The module.
        arguments: What follows it.
        needs: Top-level modules that must be installed.

    Returns:
        Its exit status; 128 and the signal's number where a signal ended it, as shells say it.

    Raises:
        RequestError: something it needs is not installed.
    """
    absent = [name for name in needs if importlib.util.find_spec(name) is None]
    if absent:
        raise RequestError(
            f"{module} needs {', '.join(absent)}, which is not installed",
            hint="install the training extra: pip install 'kwaflux[train]'",
        )
    status = subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode
    return 128 - status if status < 0 else status


def _add(name: str, command: FactoryCommand) -> None:
    """Register a command that passes everything on, ``--help`` too."""

    def run(context: typer.Context) -> None:
        raise typer.Exit(run_module(command.module, context.args, needs=command.needs))

    passing = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    models.command(name, help=command.summary, context_settings=passing)(run)


for _name, _command in FACTORY.items():
    _add(_name, _command)

# Models a person owns (kwaflux_server.cli.user_models) are mounted below this line.
