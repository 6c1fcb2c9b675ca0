"""Looks into the store of a running imbot, beside its event loop."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from imbot.errors import StoreError
from imbot.ports import Aside
from imbot.store.queries import Views, open_views

_T = TypeVar("_T")


class Reader:
    """Keeps the store open from the first look to the last, for opening takes longer than looking.

    One look is taken at a time. Whatever goes wrong with one, the next opens the store anew.

    Args:
        url: The store.
        base: The folder that the URL starts from.
        aside: Does beside the event loop what takes long.
    """

    def __init__(self, url: str, base: Path, aside: Aside) -> None:
        self._url = url
        self._base = base
        self._aside = aside
        self._views: Views | None = None
        self._turn = threading.Lock()

    async def look(self, look: Callable[[Views], _T]) -> _T:
        """Return what is seen in the store.

        Raises:
            StoreError: It cannot be read.
        """
        return await self._aside(partial(self._look, look))

    def close(self) -> None:
        """Close the store; a look that comes later opens it again."""
        with self._turn:
            self._shut()

    def _look(self, look: Callable[[Views], _T]) -> _T:
        with self._turn:
            if self._views is None:
                self._views = open_views(self._url, base=self._base)
            try:
                return look(self._views)
            except StoreError:
                self._shut()
                raise

    def _shut(self) -> None:
        if self._views is not None:
            self._views.close()
            self._views = None
