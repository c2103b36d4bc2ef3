"""Stand-ins for what surrounds the door in a backend: the package `multicorn`, and PostgreSQL itself."""

from __future__ import annotations

import logging
import select
import sys
from types import ModuleType
from typing import Any, NamedTuple, Optional


class Qual(NamedTuple):
    field_name: str
    operator: Any
    value: Any


class ColumnDefinition(NamedTuple):
    base_type_name: str


class ReportedError(Exception):
    """What Multicorn would report to PostgreSQL."""

    def __init__(self, message: str, hint: Optional[str] = None, detail: Optional[str] = None) -> None:
        super().__init__(message)
        self.message, self.hint, self.detail = message, hint, detail


class JumpError(Exception):
    """Stands for PostgreSQL's jump out of a function that reports an error."""


class _Wrapper:
    def __init__(self, options: Any, columns: Any) -> None:
        self.given = (options, columns)


def _log_to_postgres(message: str, level: int = logging.INFO, hint: Any = None, detail: Any = None) -> None:
    assert level == logging.ERROR
    raise ReportedError(message, hint, detail)


def _check_interrupts(*_arguments: Any) -> None:
    raise JumpError("57014")


def install() -> None:
    """Makes the package importable; the real one needs a backend around it."""
    package, utils = ModuleType("multicorn"), ModuleType("multicorn.utils")
    package.ForeignDataWrapper = _Wrapper  # type: ignore[attr-defined]
    package.utils = utils  # type: ignore[attr-defined]
    utils.MulticornException = ReportedError  # type: ignore[attr-defined]
    utils.log_to_postgres = _log_to_postgres  # type: ignore[attr-defined]
    utils.check_interrupts = _check_interrupts  # type: ignore[attr-defined]
    sys.modules["multicorn"], sys.modules["multicorn.utils"] = package, utils


class FakeBackend:
    """A PostgreSQL of the fewest words. `canceled`: whether a cancel is pending."""

    def __init__(self) -> None:
        self.encoding = "UTF8"
        self.nest_level = 1
        self.options = {"DateStyle": "ISO, MDY", "TimeZone": "UTC"}
        self.canceled = False
        self.notices: list[str] = []
        self.warnings: list[str] = []
        self.logged: list[str] = []
        self.statement = 1
        self.cache, self.slow_ms = True, -1
        self.prepared: Optional[tuple[Any, ...]] = None

    def option(self, name: str) -> str:
        return self.options[name]

    def check(self) -> None:
        from cio_fdw.errors import Interrupted

        if self.canceled:
            raise Interrupted

    def wait(self, seconds: float, fd: int = -1) -> bool:
        self.check()
        ready = select.poll()
        ready.register(fd, select.POLLIN)
        return bool(ready.poll(seconds * 1000))

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def log(self, text: str) -> None:
        self.logged.append(text)

    def log_min_ms(self) -> int:
        return self.slow_ms

    def caching(self) -> bool:
        return self.cache

    def busy(self) -> None:
        pass

    def idle(self, fds: list[int], seconds: float) -> None:
        pass

    def prepare_error(self, *report: Any) -> None:
        assert self.prepared is None
        self.prepared = report

    def finish_error(self, *_nothing: Any) -> None:
        report, self.prepared = self.prepared, None
        assert report is not None
        raise JumpError(report[0], report[1])
