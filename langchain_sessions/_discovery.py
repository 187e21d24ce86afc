"""Where the ids of a run come from: gathers the candidates in order, and reports what the user should hear.

The order: the run's metadata, its `configurable`, the run around it, the OpenTelemetry context around it
(`session()`, OpenInference's `using_session`), the recording span around it, baggage if it is accepted.
Nothing found: no id. An id is never invented.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from uuid import UUID

from opentelemetry import trace as trace_api
from opentelemetry.context import get_current

from langchain_sessions._baggage import inbound_id
from langchain_sessions._blocks import in_force, is_unchanged
from langchain_sessions._ids import InvalidSessionIdError, normalize_session_id, text_of
from langchain_sessions._langchain import body_config, configurable_of, starting_config
from langchain_sessions._overlay import attached
from langchain_sessions._policy import Group, SessionPolicy, resolve
from langchain_sessions._privacy import scrub
from langchain_sessions._runs import (
    NO_CONTEXT,
    NO_IDS,
    SESSION_ID,
    USER_ID,
    LiveRun,
    Several,
    enclosing_spans,
    is_unsure,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context

    from langchain_sessions._reports import Reports

_NOT_AN_ID: Final = "[not an id]"
"""Stands in recorded metadata for a value under an id's key that is no id, which may still be personal."""

_ID_KEYS_SPELT_PLAINLY: Final = frozenset({"sessionid", "conversationid", "threadid"})

_ABSENT: Final = object()
"""No such key. A key that holds None says that there is no id, which is not the same."""


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
        self,
        run_id: UUID,
        run_name: str,
        metadata: Mapping[str, Any],
        parent: LiveRun | None,
        parent_run_id: UUID | None,
        around: LiveRun | None = None,
    ) -> LiveRun:
        """Return the live run with its ids; called while the run is starting, from its start callback.

        Args:
            run_id: LangChain's id of the run.
            run_name: For reports.
            metadata: The run's metadata, with what it inherited.
            parent: The enclosing run, if it is live and ours.
            parent_run_id: LangChain's id of the enclosing run, if there is one, whoever traces it.
            around: Where LangChain knows of no enclosing run of ours: the run of another handler of ours in
                whose trace this one starts. A trace has one id, so this run keeps the outer one, by the
                policy.
        """
        given = self.given(metadata)
        if parent is not None and self._only_inherits(given, parent):
            return LiveRun.like(parent, run_id)
        search = Search(self._own(metadata, parent), self._keys, parent, parent_run_id, self._inbound)
        run = LiveRun(run_id, parent, given=given)
        introduced = self._find(run, search, run_name, self._inherited(parent, around))
        run.configured = search.look() if self._policy.nested == "own" else search.configured
        secrets = self._secrets(search.everything(self._kinds)) if self._policy.pseudonymize else NO_IDS
        run.secrets = {**(parent.secrets if parent else NO_IDS), **secrets}
        if introduced or secrets:
            run.tell_ancestors(introduced, secrets)
        if parent_run_id is None and SESSION_ID not in run.ids:
            self._report_near_misses(metadata, run_name)
        return run

    def given(self, metadata: Mapping[str, Any]) -> tuple[object, ...]:
        """Return what a run's metadata holds under each of our keys."""
        return tuple([metadata.get(key, _ABSENT) for key in self._keys])

    def _report_near_misses(self, metadata: Mapping[str, Any], run_name: str) -> None:
        """Tell whoever wrote `sessionId` or `session.id` how we spell it."""
        for key in metadata:
            if key not in self._keys and _spelt_plainly(key) in _ID_KEYS_SPELT_PLAINLY:
                self._reports.once(
                    ("near miss", key),
                    logging.WARNING,
                    "metadata %r of run %r is not looked at; the session id is one of %s. "
                    "SessionPolicy(keys=...) sets these names.",
                    key,
                    self._reports.name_of(run_name),
                    ", ".join(self._policy.keys),
                )

    def _own(self, metadata: Mapping[str, Any], parent: LiveRun | None) -> dict[str, object]:
        """Return the values of our keys that a run did not merely inherit."""
        outer = dict(zip(self._keys, () if parent is None else parent.given, strict=False))
        return {
            k: metadata[k] for k in self._keys if k in metadata and metadata[k] is not outer.get(k, _ABSENT)
        }

    def is_same(self, run: LiveRun, metadata: Mapping[str, Any]) -> bool:
        """Whether a start event is of this very run, and not of another that was given the same run id."""
        return all(a is metadata.get(key, _ABSENT) for key, a in zip(self._keys, run.given, strict=True))

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
        if SESSION_ID not in parent.ids or parent.provisional:
            return False
        for mine, outer in zip(given, parent.given, strict=True):  # a loop: any() would make a generator
            if mine is not outer:
                return False
        # Under "own", a `configurable` of the run's own counts too.
        if self._policy.nested == "root":
            return True
        configured = configured_now(self._keys)
        return configured is not None and not own_of(configured, parent)

    def _inherited(self, parent: LiveRun | None, around: LiveRun | None) -> Mapping[str, str]:
        if parent is not None or around is None:
            return NO_IDS if parent is None else parent.ids
        return {name: self._policy.canonical(id_) for name, id_ in around.settled_ids().items()}

    def _inbound(self, name: str, context: Context) -> str | None:
        return inbound_id(name, context, self._policy, self._reports)

    def _find(
        self, run: LiveRun, search: Search, run_name: str, inherited: Mapping[str, str]
    ) -> dict[str, str | Several]:
        """Give a starting run its ids; return what of them is the run's own, for those around it."""
        parent = run.parent
        own: dict[str, str] = {}
        introduced: dict[str, str | Several] = {}
        provisional: set[str] = set()
        for kind in self._kinds:
            search.session = own.get(SESSION_ID, inherited.get(SESSION_ID))
            name, outer = kind.attribute, inherited.get(kind.attribute)
            is_weak = parent is not None and name in parent.provisional
            if outer is not None and not is_weak and self._policy.nested == "root":
                self._report_nested(kind, search, run_name, outer)
                continue
            if (id_ := self._resolve(search.given(kind), run_name)) is not None:
                own[name] = id_
                if id_ != outer:
                    introduced[name] = id_
                continue
            if outer is None and (id_ := self._resolve(search.surroundings(kind), run_name)) is not None:
                own[name] = id_
                introduced[name] = id_
            elif outer is None and search.metadata_group(kind)[1]:
                # A conversation whose id is missing or refused is not the one beside it.
                introduced[name] = Several.SEVERAL
            if search.configured is None and name in {**inherited, **own}:
                provisional.add(name)
                introduced.pop(name, None)  # told when the run ends
            elif outer is not None and is_weak:
                introduced[name] = outer  # a look at this run's config confirms what is provisional around it
        run.ids = {**inherited, **own} if own else inherited
        run.provisional = frozenset(provisional)
        return introduced

    def _resolve(self, groups: Iterable[Group], run_name: str) -> str | None:
        resolution = resolve(groups, self._policy)
        for refusal in resolution.refusals:
            self._reports.once(
                ("refused", refusal.source, refusal.key, refusal.kind),
                logging.WARNING,
                "%s %r of run %r holds no id (%s) and is ignored",
                refusal.source,
                refusal.key,
                self._reports.name_of(run_name),
                f"a {refusal.kind}" if self._policy.pseudonymize else refusal.error,
            )
        for conflict in resolution.conflicts:
            self._reports.once(
                ("conflict", *conflict),
                logging.WARNING,
                "%s of run %r holds two different ids: %r is used, %r is ignored. "
                "SessionPolicy(keys=...) sets the order.",
                conflict.source,
                self._reports.name_of(run_name),
                conflict.kept,
                conflict.ignored,
            )
        return resolution.id

    def _report_nested(self, kind: Kind, search: Search, run_name: str, outer: str) -> None:
        own = self._resolve([search.metadata_group(kind)], run_name)
        if own is not None and own != outer:
            self._reports.once(
                ("nested", kind.attribute, outer, own),
                logging.INFO,
                "run %r brought %s %r into a trace of %r, which it keeps; "
                "SessionPolicy(nested='own') lets it have its own",
                self._reports.name_of(run_name),
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
            texts = {raw, raw.strip(), plain}
            if isinstance(value, UUID):
                texts.add(value.hex)
            secrets.update({text: hidden for text in texts if text != hidden})
        return secrets


class Search:
    """The places where a starting run may find ids; costly ones are visited once, when they are asked for.

    Attributes:
        configured: What the run's `configurable` holds under our keys; None as long as nobody looked, and
            where it cannot be seen.
        session: The run's session, once it has been found.
    """

    def __init__(
        self,
        metadata: Mapping[str, object],
        keys: Sequence[str],
        parent: LiveRun | None,
        parent_run_id: UUID | None,
        inbound: Callable[[str, Context], str | None],
    ) -> None:
        self._inbound = inbound
        self._metadata = metadata
        self._keys = keys
        self._parent = parent
        self._parent_run_id = parent_run_id
        self.configured: Mapping[str, object] | None = None
        self.session: str | None = None

    def metadata_group(self, kind: Kind) -> Group:
        """Return the candidates in the run's own metadata."""
        return "metadata", _pairs(self._metadata, kind.keys)

    def given(self, kind: Kind) -> Iterator[Group]:
        """Yield what the run itself was given."""
        yield self.metadata_group(kind)
        yield "configurable", _pairs(own_of(self.look() or {}, self._parent), kind.keys)

    def look(self) -> Mapping[str, object] | None:
        """Look at the run's `configurable`, once."""
        if self.configured is None:
            self.configured = configured_now(self._keys)
        return self.configured

    def everything(self, kinds: Sequence[Kind]) -> Iterator[object]:
        """Yield every raw value there is: what pseudonymization has to look for."""
        for kind in kinds:
            for _, pairs in (*self.given(kind), *self.surroundings(kind)):
                yield from (value for _, value in pairs)

    def surroundings(self, kind: Kind) -> Iterator[Group]:
        """Yield what surrounds the run, as far as it was opened in the body of the run around it."""
        before = NO_CONTEXT
        if self._parent_run_id is not None:
            if body_config(self._parent_run_id) is None:
                # Not in the body of the run around: between two steps of a streamed graph, the context is
                # the consumer's; in a worker that was handed a config, it is the worker's.
                return
            if self._parent is not None:
                before = self._parent.ambient
                if attached() is before:
                    return  # what is in force is the parent's own view, see `LiveRun.view`
        current = get_current()
        if is_unsure(current):
            return
        around, before = in_force(current), in_force(before)
        if not is_unchanged(kind.attribute, around, before):
            yield "context", [(kind.attribute, around.get(kind.attribute))]
        span = trace_api.get_current_span(current)
        is_inside = span is not trace_api.get_current_span(before) and span not in enclosing_spans
        if is_inside and span.is_recording():
            attributes = getattr(span, "attributes", None)
            if isinstance(attributes, Mapping):
                value = cast("Mapping[str, object]", attributes).get(kind.attribute)
                yield "parent span", [(kind.attribute, value)]
        if self._parent_run_id is None:
            yield "baggage", [(kind.attribute, self._claimed(kind.attribute, around))]

    def _claimed(self, name: str, context: Context) -> str | None:
        """Return an id from baggage; the user only of the session that the run is in."""
        if name == USER_ID and (self.session is None or self._inbound(SESSION_ID, context) != self.session):
            return None
        return self._inbound(name, context)


def configured_now(keys: Sequence[str]) -> dict[str, object] | None:
    """Return what the starting run's `configurable` holds under these keys; None if it cannot be seen."""
    config = starting_config()
    return None if config is None else _under(keys, config)


def own_of(configured: Mapping[str, object], parent: LiveRun | None) -> dict[str, object]:
    """Return the part of a `configurable` that was not merely inherited."""
    inherited = NO_IDS if parent is None or parent.configured is None else parent.configured
    return {key: value for key, value in configured.items() if value is not inherited.get(key)}


@lru_cache(maxsize=1024)  # asked for every key of every run without an id
def _spelt_plainly(key: object) -> str:
    return "".join(filter(str.isalnum, key)).lower() if isinstance(key, str) else ""


def _under(keys: Sequence[str], config: Mapping[str, Any]) -> dict[str, object]:
    return dict(_pairs(configurable_of(config), keys))


def _pairs(mapping: Mapping[str, Any], keys: Sequence[str]) -> list[tuple[str, object]]:
    return [(key, mapping[key]) for key in keys if key in mapping]
