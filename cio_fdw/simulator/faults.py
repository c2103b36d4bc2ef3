"""Which requests go wrong, and how: rules as /_sim/faults takes them.

    [{"match": {"path": "/v1/messages$", "nth": 2, "param": {"campaign_id": "7"}}, "times": 1,
      "action": {"kind": "status", "status": 503}}]

`path` is a regular expression searched in the path (without query); `param` names parameters that must be
there and contain a text; `fresh` matches only what was not asked before, path and query, since the rules were
set; `chance` only that share of the requests, at random. `nth` is the first matching request that is hit, counted
from 1 since the rules were set; `times` how many are, null for all. The first rule that hits decides.
Requests refused with 429 are not counted.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, Optional

Action = Mapping[str, Any]

KINDS: Mapping[str, frozenset[str]] = {
    "status": frozenset(("status", "body", "headers")),
    "hang": frozenset(),
    "reset": frozenset(),
    "cut": frozenset(("bytes", "end")),
    "drip": frozenset(("bytes_per_s",)),
    "slow_headers": frozenset(("seconds",)),
    "html": frozenset(("status",)),
    "redirect": frozenset(("location", "status")),
    "bad_json": frozenset(("bytes",)),
    "loop": frozenset(),
    "restart": frozenset(),
    "empty_with_next": frozenset(),
    "hollow": frozenset(),
    "null_rows": frozenset(),
    "drop_rows_key": frozenset(),
    "body": frozenset(("json", "text", "headers")),
    "headers": frozenset(("headers",)),
    "gzip": frozenset(("damage",)),
    "skew": frozenset(("seconds",)),
}
"""Each kind of fault with the fields it understands."""

NEEDED = {
    "status": "status", "drip": "bytes_per_s", "slow_headers": "seconds", "redirect": "location",
    "headers": "headers", "skew": "seconds",
}  # fmt: skip


class RuleError(ValueError):
    """A rule that is none; answered 400 by /_sim/faults."""


class Rule:
    """One rule with its count of the requests that matched it."""

    def __init__(self, given: object) -> None:
        rule = _fields("rule", given, ("match", "times", "action"))
        match = _fields("match", rule.get("match", {}), ("path", "nth", "param", "fresh", "chance"))
        self._path = re.compile(str(match.get("path", "")))
        self._params: dict[str, str] = {str(k): str(v) for k, v in dict(match.get("param", {})).items()}
        self._fresh = bool(match.get("fresh", False))
        self._chance = float(match.get("chance", 1))
        self._first = int(match.get("nth", 1))
        times = rule.get("times", 1)
        self._last: Optional[int] = None if times is None else self._first + int(times) - 1
        self.action = check_action(rule.get("action"))
        self._seen = 0
        self._targets: set[object] = set()
        self._random = random.Random()  # noqa: S311 - no secret comes of it

    def hits(self, path: str, query: Mapping[str, str]) -> bool:
        """Whether this request goes wrong; counts it when it matches."""
        if not self._path.search(path):
            return False
        if any(text not in query.get(name, "") or name not in query for name, text in self._params.items()):
            return False
        if self._fresh and not self._is_new((path, *sorted(query.items()))):
            return False
        if self._chance < 1 and self._random.random() >= self._chance:
            return False
        self._seen += 1
        return self._seen >= self._first and (self._last is None or self._seen <= self._last)

    def _is_new(self, target: object) -> bool:
        count = len(self._targets)
        self._targets.add(target)
        return len(self._targets) > count


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def set(self, given: object) -> None:
        """Replaces all rules. Raises RuleError, and then leaves them as they were."""
        if not isinstance(given, list):
            raise RuleError("faults: a JSON list of rules is needed")
        try:
            self._rules = [Rule(rule) for rule in given]
        except (TypeError, ValueError, re.error) as error:
            raise RuleError(f"faults: {error}") from error

    def find(self, path: str, query: Mapping[str, str]) -> Optional[Action]:
        """What to do to this request, or None. Every matching rule counts it."""
        hits = [rule.action for rule in self._rules if rule.hits(path, query)]
        return hits[0] if hits else None

    def __bool__(self) -> bool:
        return bool(self._rules)


def check_action(given: object) -> Action:
    """The action as it was given. Raises RuleError with the valid names."""
    action = _fields("action", given, None)
    kind = action.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise RuleError(f"no fault kind {kind!r}; there are: {', '.join(sorted(KINDS))}")
    _fields(f"action {kind}", action, ("kind", *KINDS[kind]))
    if kind in NEEDED and NEEDED[kind] not in action:
        raise RuleError(f"fault {kind} needs {NEEDED[kind]}")
    return action


def _fields(what: str, given: object, known: Optional[tuple[str, ...]]) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise RuleError(f"{what} must be a JSON object")
    for name in given:
        if known is not None and name not in known:
            raise RuleError(f"{what} has no field {name!r}; there are: {', '.join(known)}")
    return given
