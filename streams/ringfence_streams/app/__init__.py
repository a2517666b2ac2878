"""A whole node as a Faust application: `faust -A ringfence_streams.app worker`.

`create_app(settings)` makes one; `app` is the one that the environment describes.  Nothing outside this package imports
Faust, and this module does so only when one of the two is asked for: the process that runs the shards needs neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ringfence_streams.app.application import create_app as create_app
    from ringfence_streams.app.application import environment_app

    app = environment_app()

__all__ = ["app", "create_app"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    application = import_module("ringfence_streams.app.application")
    value = globals()[name] = application.environment_app() if name == "app" else application.create_app
    return value
