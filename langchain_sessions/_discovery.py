"""Where the ids of a run come from: gathers the candidates in order, and reports what the user should hear.

The order: the run's metadata, its `configurable`, the run around it, the OpenTelemetry context around it
(`session()`, OpenInference's `using_session`), the recording span around it. Nothing found: no id. An id is
never invented.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from opentelemetry import trace as trace_api
from opentelemetry.context import Context, get_current

from langchain_sessions._ids import InvalidSessionIdError, normalize_session_id, text_of
from langchain_sessions._langchain import body_config, configurable_of, starting_config
from langchain_sessions._policy import Group, SessionPolicy, Source, resolve
from langchain_sessions._privacy import scrub
from langchain_sessions._runs import NO_IDS, SESSION_ID, USER_ID, LiveRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from langchain_sessions._reports import Reports

_NOT_AN_ID: Final = "[not an id]"
"""Stands in recorded metadata for a value under an id's key that is no id, which may still be personal."""

_NOWHERE: Final = Context()


class Kind(NamedTuple):
    """One kind of id: the attribute it is written to, and the keys under which a user may give it."""

    attribute: str
    keys: Sequence[str]


class Discovery:
    """Finds the ids of starting runs, by one policy."""

    def __init__(self, policy: SessionPolicy, reports: Reports) -> None:
        self._policy: Final = policy
        self._reports: Final = reports
        self._kinds: Final = (Kind(SESSION_ID, policy.keys), Kind(USER_ID, policy.user_keys))
        self._keys: Final = (*policy.keys, *policy.user_keys)

    def identify(
        self, run_id: UUID, run_name: str, metadata: Mapping[str, Any], parent: LiveRun | None
    ) -> LiveRun:
        """Return the live run with its ids; called while the run is starting, from its start callback.

        Args:
            run_id: LangChain's id of the run.
            run_name: For reports.
            metadata: The run's metadata, with what it inherited.
            parent: The enclosing run, if it is live and ours.
        """
        given = tuple(map(metadata.get, self._keys))
        if parent is not None and self._only_inherits(given, parent):
            return LiveRun(run_id, parent, ids=parent.ids, given=given, secrets=parent.secrets)
        if parent is not None:
            self._bind_late(parent, run_name)
        outer = () if parent is None else parent.given
        own = {k: v for k, v, o in zip_longest(self._keys, given, outer) if v is not None and v is not o}
        search = _Search(own, self._keys, parent)
        run = LiveRun(run_id, parent, given=given)
        run.ids, introduced = self._ids(search, run_name, parent)
        secrets = self._secrets(search.seen)
        run.secrets = {**(parent.secrets if parent else NO_IDS), **secrets}
        if introduced or secrets:
            run.tell_ancestors(introduced, secrets)
        return run

    def is_same(self, run: LiveRun, metadata: Mapping[str, Any]) -> bool:
        """Whether a start event is of this very run, and not of another that was given the same run id."""
        return all(a is metadata.get(key) for key, a in zip(self._keys, run.given, strict=True))

    def conceal(self, metadata: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
        """Return a copy of a run's metadata without raw ids."""
        concealed = scrub(dict(metadata), secrets)
        for key in self._keys:
            if concealed.get(key) is not None:
                try:
                    concealed[key] = self._policy.canonical(concealed[key])
                except InvalidSessionIdError:
                    concealed[key] = _NOT_AN_ID
        return concealed

    def _only_inherits(self, given: tuple[object, ...], parent: LiveRun) -> bool:
        """Whether a run brings nothing of its own, which is what almost every nested run does."""
        if SESSION_ID not in parent.ids:
            return False
        for mine, outer in zip(given, parent.given, strict=True):  # a loop: any() would make a generator
            if mine is not outer:
                return False
        return self._policy.nested == "root" or not own_configurable(self._keys, parent)

    def _ids(
        self, search: _Search, run_name: str, parent: LiveRun | None
    ) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return the ids in force in the run, and those of them that the parent does not have."""
        inherited = NO_IDS if parent is None else parent.ids
        introduced: dict[str, str] = {}
        for kind in self._kinds:
            outer = inherited.get(kind.attribute)
            if outer is not None and self._policy.nested == "root":
                self._report_nested(kind, search, run_name, outer)
                continue
            own = self._resolve(search.groups(kind), run_name)
            if own is not None and own != outer:
                introduced[kind.attribute] = own
        return ({**inherited, **introduced} if introduced else inherited), introduced

    def _bind_late(self, parent: LiveRun, run_name: str) -> None:
        """Give the parent the ids of its `configurable`, if its start callback could not see them."""
        missing = [kind for kind in self._kinds if kind.attribute not in parent.ids]
        if not missing or (config := body_config(parent.run_id)) is None:
            return
        configurable = configurable_of(config)
        found: dict[str, str] = {}
        for kind in missing:
            id_ = self._resolve([("configurable", _pairs(configurable, kind.keys))], run_name)
            if id_ is not None:
                found[kind.attribute] = id_
        parent.claim(found, self._secrets(configurable.get(key) for key in self._keys))

    def _resolve(self, groups: Iterable[Group], run_name: str) -> str | None:
        resolution = resolve(groups, self._policy)
        for refusal in resolution.refusals:
            self._reports.once(
                ("refused", refusal.source, refusal.key, refusal.kind),
                logging.WARNING,
                "%s %r of run %r holds no id (%s) and is ignored",
                refusal.source,
                refusal.key,
                run_name,
                f"a {refusal.kind}" if self._policy.pseudonymize else refusal.error,
            )
        for conflict in resolution.conflicts:
            self._reports.once(
                ("conflict", *conflict),
                logging.WARNING,
                "%s of run %r holds two different ids: %r is used, %r is ignored. "
                "SessionPolicy(keys=...) sets the order.",
                conflict.source,
                run_name,
                conflict.kept,
                conflict.ignored,
            )
        return resolution.id

    def _report_nested(self, kind: Kind, search: _Search, run_name: str, outer: str) -> None:
        own = self._resolve([search.metadata_group(kind)], run_name)
        if own is not None and own != outer:
            self._reports.once(
                ("nested", kind.attribute, outer, own),
                logging.INFO,
                "run %r brought %s %r into a trace of %r, which it keeps; "
                "SessionPolicy(nested='own') lets it have its own",
                run_name,
                kind.attribute,
                own,
                outer,
            )

    def _secrets(self, values: Iterable[object]) -> dict[str, str]:
        """Return what to look for, raw, and the pseudonym to put there; nothing without pseudonymization."""
        secrets: dict[str, str] = {}
        if self._policy.pseudonymize is None:
            return secrets
        for value in values:
            try:
                hidden = self._policy.canonical(value)
                raw = text_of(value)
            except InvalidSessionIdError:
                continue
            plain = normalize_session_id(value, max_length=self._policy.max_length)
            secrets.update({text: hidden for text in (raw, raw.strip(), plain) if text != hidden})
        return secrets


class _Search:
    """The places where a starting run may find ids; costly ones are visited once, when they are asked for."""

    def __init__(self, metadata: Mapping[str, Any], keys: Sequence[str], parent: LiveRun | None) -> None:
        self._metadata = metadata
        self._keys = keys
        self._parent = parent
        self._configurable: Mapping[str, object] | None = None
        self.seen: list[object] = []
        """Every raw value met: what pseudonymization has to look for."""

    def metadata_group(self, kind: Kind) -> Group:
        return self._note("metadata", _pairs(self._metadata, kind.keys))

    def groups(self, kind: Kind) -> Iterator[Group]:
        yield self.metadata_group(kind)
        if self._configurable is None:
            self._configurable = own_configurable(self._keys, self._parent)
        yield self._note("configurable", _pairs(self._configurable, kind.keys))
        around = get_current()
        if self._parent is None:
            before = _NOWHERE
        elif body_config(self._parent.run_id) is not None:
            before = self._parent.ambient
        else:  # not in its body: between two steps of a streamed graph, the context is the consumer's
            return
        if (value := around.get(kind.attribute)) is not before.get(kind.attribute):
            yield self._note("context", [(kind.attribute, value)])
        span = trace_api.get_current_span(around)
        if span is not trace_api.get_current_span(before):
            attributes = getattr(span, "attributes", None)
            if isinstance(attributes, Mapping):
                value = cast("Mapping[str, object]", attributes).get(kind.attribute)
                yield self._note("parent span", [(kind.attribute, value)])

    def _note(self, source: Source, pairs: Sequence[tuple[str, object]]) -> Group:
        self.seen.extend(value for _, value in pairs)
        return source, pairs


def own_configurable(keys: Sequence[str], parent: LiveRun | None) -> dict[str, object]:
    """Return what the starting run's `configurable` holds under these keys and its parent's does not."""
    configurable = configurable_of(starting_config())
    inherited = configurable_of(None if parent is None else body_config(parent.run_id))
    return {key: value for key, value in _pairs(configurable, keys) if value is not inherited.get(key)}


def _pairs(mapping: Mapping[str, Any], keys: Sequence[str]) -> list[tuple[str, object]]:
    return [(key, mapping[key]) for key in keys if key in mapping]
