"""`session()`, `session_config()`, `current_session_id()`: giving and reading an id without a handler.

The one place that attaches OpenTelemetry context for longer than a call of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from openinference.instrumentation import using_attributes
from opentelemetry.context import get_current

from langchain_sessions._baggage import with_baggage, without_other_ids
from langchain_sessions._blocks import block_of, enter, in_force, is_unchanged, leave
from langchain_sessions._executing import executing
from langchain_sessions._ids import InvalidSessionIdError, normalize_session_id
from langchain_sessions._overlay import attached
from langchain_sessions._policy import SessionPolicy
from langchain_sessions._runs import SESSION_ID, UNSURE, USER_ID

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Unpack


class session(using_attributes):  # noqa: N801 -- reads as a keyword: `with session("abc"):`
    """Put everything that happens inside into one session.

    ```python
    with session("abc", user_id="ada"):
        chain.invoke(question, config={"callbacks": [handler]})
    ```

    A sync and an async context manager, and a decorator for functions, coroutines, generators and async
    generators. It is OpenInference's `using_session` with a checked and normalized id: spans of any
    OpenInference instrumentor inside carry the id, and our handler takes it for runs that bring none of
    their own. One instance may be entered any number of times, nested and in several threads and tasks; but
    where several generators hold it open at once, decorate them instead.

    Args:
        session_id: The id of the conversation, see `normalize_session_id`.
        user_id: The id of the user, written as `user.id`. None leaves the surrounding one in force.
        propagate: Whether the ids also go into W3C baggage, so that instrumented HTTP clients and task queues
            send them to the services they call, which take them from there if their policy says
            `accept_baggage`. Off by default: the id goes to *every* host that is called inside, also to
            third parties, such as a model's API. None stands for the policy's `propagate_baggage`.
        policy: Length limit and pseudonymization; give the one that the handler has.

    Raises:
        InvalidSessionIdError: If an id is given that cannot be one.
    """

    def __init__(
        self,
        session_id: object,
        *,
        user_id: object = None,
        propagate: bool | None = None,
        policy: SessionPolicy | None = None,
    ) -> None:
        policy = policy or SessionPolicy()
        self.propagate = policy.propagate_baggage if propagate is None else propagate
        self.session_id = policy.canonical(session_id)
        self.user_id = None if user_id is None else policy.canonical(user_id)
        super().__init__(session_id=self.session_id, user_id=self.user_id or "")

    def __enter__(self) -> str:  # type: ignore[override]
        """Enter the session.

        Returns:
            The canonical id.
        """
        ids = {SESSION_ID: self.session_id}
        if self.user_id is not None:
            ids[USER_ID] = self.user_id
        around, run = get_current(), executing()
        # One id per trace: what is called inside such a run continues the run's trace.
        sent = run.settled_ids() if run is not None and run.keeps_outer else ids
        sent = sent if SESSION_ID in sent else ids
        inside = with_baggage(around, sent) if self.propagate else without_other_ids(around, sent)
        changed = {key: value for key, value in inside.items() if value is not around.get(key)}
        enter(self, {**changed, UNSURE: None, **ids} if UNSURE in around else {**changed, **ids})
        return self.session_id

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the session."""
        leave(self)

    async def __aenter__(self) -> str:  # type: ignore[override]
        """Enter the session.

        Returns:
            The canonical id.
        """
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the session."""
        self.__exit__(exc_type, exc_value, traceback)


def session_config(
    session_id: object,
    *,
    user_id: object = None,
    policy: SessionPolicy | None = None,
    **config: Unpack[RunnableConfig],
) -> RunnableConfig:
    """Make the config of a call that belongs to a conversation.

    ```python
    chain.invoke(question, config=session_config("abc", user_id="ada", callbacks=[handler]))
    ```

    The id goes into the metadata, where handlers and LangSmith read it, into `configurable.thread_id`, where
    LangGraph's checkpointers read it, and into `configurable.session_id`, where `RunnableWithMessageHistory`
    does. What you put there yourself is kept.

    Args:
        session_id: The id of the conversation, see `normalize_session_id`.
        user_id: The id of the user, if known.
        policy: For its length limit; give the one that the handler has. Ids in a config are not
            pseudonymized, because checkpointers store by them; the handler does it when it records them.
        **config: Anything else a `RunnableConfig` holds; metadata and configurable are merged.

    Returns:
        A new config.

    Raises:
        InvalidSessionIdError: If an id is given that cannot be one.
        TypeError: If `config` has a key that a `RunnableConfig` does not have.
        ValueError: If `metadata` holds another id under the same key.
    """
    if unknown := sorted(set(config) - set(RunnableConfig.__annotations__)):
        msg = f"session_config() got {', '.join(unknown)}, which a RunnableConfig does not have"
        raise TypeError(msg)
    max_length = (policy or SessionPolicy()).max_length
    ids = {"session_id": normalize_session_id(session_id, max_length=max_length)}
    if user_id is not None:
        ids["user_id"] = normalize_session_id(user_id, max_length=max_length)
    metadata: dict[str, Any] = dict(config.get("metadata") or {})
    for key, id_ in ids.items():
        if normalize_session_id(metadata.setdefault(key, id_), max_length=max_length) != id_:
            msg = f"{key} is given twice, and metadata holds another one; leave one out"
            raise ValueError(msg)
    configurable: dict[str, Any] = {"thread_id": ids["session_id"], "session_id": ids["session_id"]}
    configurable.update(config.get("configurable") or {})
    return {**config, "metadata": metadata, "configurable": configurable}


def current_session_id() -> str | None:
    """Return the id of the session in force here, or None.

    Inside the body of a traced run (a chain step, a tool, a graph node) that is the run's id, unless a
    `session()` block inside that body is closer. Elsewhere it is the surrounding `session()` or
    `using_session` block's.
    """
    around = in_force(attached())
    run = executing()
    if run is not None and SESSION_ID in run.ids and is_unchanged(SESSION_ID, around, in_force(run.ambient)):
        return run.ids[SESSION_ID]
    ambient, block = around.get(SESSION_ID), block_of(around)
    if ambient is None:
        return None
    if block is not None and isinstance(block.owner, session) and block.owner.session_id == ambient:
        return block.owner.session_id  # canonical by the policy of the block
    try:
        return normalize_session_id(ambient)
    except InvalidSessionIdError:
        return None
