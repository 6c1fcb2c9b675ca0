"""Bugs that the simulation must catch: each takes one rule of delivery out of the product.

A canary is a context in which one function of the product is another; nothing in the product knows
of it. What the checker does not notice of them shows what it could not notice of a real bug.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

#: The canaries by name.
CANARIES: Mapping[str, Callable[[], AbstractContextManager[None]]] = {}
