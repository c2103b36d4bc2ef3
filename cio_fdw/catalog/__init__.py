"""All endpoints: every `Endpoint` that a module of this package holds.

    ENDPOINTS["messages"].path -> "/v1/messages"

A new table is one more Endpoint in a module here; nothing else lists it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from cio_fdw.endpoint import CatalogError, Endpoint


def _collect() -> Mapping[str, Endpoint]:
    found: dict[str, Endpoint] = {}
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for value in vars(module).values():
            if isinstance(value, Endpoint):
                if value.name in found:
                    raise CatalogError(f"two catalog entries are named {value.name}")
                found[value.name] = value
    for endpoint in found.values():
        parent = endpoint.parent
        if parent and (parent.endpoint not in found or not found[parent.endpoint].column(parent.key)):
            raise CatalogError(f"catalog entry {endpoint.name}: no parent {parent.endpoint}.{parent.key}")
    return MappingProxyType(found)


ENDPOINTS: Mapping[str, Endpoint] = _collect()
