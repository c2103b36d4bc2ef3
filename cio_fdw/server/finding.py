"""What `cio-fdw doctor` found, in one line, and what to do about it, in another."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "FAIL"


@dataclass(frozen=True)
class Finding:
    """One finding. `advice` may be empty when all is well."""

    level: str
    text: str
    advice: str = ""

    def __str__(self) -> str:
        advice = "".join(f"\n      {line}" for line in self.advice.splitlines())
        return f"{self.level:<5} {self.text}{advice}"
