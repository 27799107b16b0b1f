"""``kwaflux models``: train, score and install effects; each command runs in its own process.

A command's options are passed on to its module unchanged, and its exit status is returned.
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
    help="Train, score, add and list effects and LoRAs.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@models.callback()
def _overview(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        OUT.print(context.get_help(), markup=False)


@dataclass(frozen=True, slots=True)
class FactoryCommand:
    """A command that runs a module.

    Attributes:
        module: The module that ``python -m`` runs.
        needs: Modules of the training extra that it requires.
        summary: Its help, one sentence.
    """

    module: str
    needs: tuple[str, ...]
    summary: str


FACTORY: dict[str, FactoryCommand] = {
    "data": FactoryCommand(
        "kwaflux_models.training.pictures.download",
        ("numpy", "PIL"),
        "Fetch the pictures for training; print each source's licence and split.",
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
    """Run ``python -m module`` in this terminal, and wait until it ends.

    There is no deadline: a training run takes hours, and an interrupt from the terminal reaches the
    child as well.

    Args:
        module: The module.
        arguments: Its arguments.
        needs: Top-level modules that must be installed.

    Returns:
        Its exit status; 128 + the signal's number if a signal ended it, as in a shell.

    Raises:
        RequestError: A required module is not installed.
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
    """Register a command that passes on all arguments, including ``--help``."""

    def run(context: typer.Context) -> None:
        raise typer.Exit(run_module(command.module, context.args, needs=command.needs))

    settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    models.command(name, help=command.summary, context_settings=settings)(run)


for _name, _command in FACTORY.items():
    _add(_name, _command)
