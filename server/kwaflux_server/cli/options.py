"""Options shared by several commands, among them one for each field of ``RenderOptions``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Annotated, Any, TypeAlias, get_type_hints

import typer

from kwaflux_core.protocol.render_options import RenderOptions

__all__ = ["AsJson", "Endpoint", "with_render_options"]

AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object per line instead of text.")
]
Endpoint: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Address of the server: ipc:///path or tcp://host:port. Default: your own server."
    ),
]


def with_render_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command one option for every field of ``RenderOptions``.

    Args:
        command: A command with a keyword ``options: RenderOptions``.
    """
    hints = get_type_hints(RenderOptions)
    names = [entry.name for entry in fields(RenderOptions)]
    signature = inspect.signature(command, eval_str=True)
    flags = []
    for entry in fields(RenderOptions):
        # A bool is a flag without a negative form: --half, but not --no-half.
        spelled = (f"--{entry.name}",) if hints[entry.name] is bool else ()
        option = typer.Option(*spelled, help=entry.metadata["help"])
        flags.append(
            inspect.Parameter(
                entry.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=entry.default,
                annotation=Annotated[hints[entry.name], option],
            )
        )

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> int:
        options = RenderOptions(**{name: kwargs.pop(name) for name in names})
        return command(*args, options=options, **kwargs)

    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        parameters += flags if parameter.name == "options" else [parameter]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
