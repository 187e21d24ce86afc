"""What is asked of a Phoenix server, and what its refusals mean.

Its REST interface lists traces twenty times as fast as GraphQL does, but takes no id with a slash in a path,
and its filter by attribute finds no id that is not ASCII. GraphQL finds every id.
"""

from __future__ import annotations

import base64
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

try:
    import httpx
    from phoenix.client import Client
    from phoenix.client.exceptions import PhoenixException
    from phoenix.client.utils.config import get_env_client_headers
except ImportError as error:
    message = "sessions in Phoenix need arize-phoenix-client: pip install 'langchain-sessions[phoenix]'"
    raise ImportError(message, name="arize-phoenix-client") from error

from langchain_sessions.store._phoenix._spans import resource_of, span_of, time_of
from langchain_sessions.store._protocol import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from langchain_sessions.store._phoenix._address import Address
    from langchain_sessions.store._span import Span

_PAGE: Final = 1_000
"""Items of an answer: the most that the server gives."""

_TRACES_AT_ONCE: Final = 100
"""Ids of traces in one address, which servers and proxies take up to a length of 8,000 characters."""

_ALL: Final = 1_000_000_000

_TIMEOUT: Final = httpx.Timeout(60.0, connect=5.0)
"""Seconds. A page of a thousand spans takes half a second, and Phoenix may be busy storing others."""

_REFUSED: Final = (401, 403)

_PROJECT: Final = """
query ($name: String!) {
  getProjectByName(name: $name) { id }
  projects(first: 20) { edges { node { name } } }
}"""

_REVISION: Final = """
query ($name: String!) {
  getProjectByName(name: $name) { id streamingLastUpdatedAt recordCount traceCount }
}"""

_NAMING: Final = """
query ($id: ID!, $first: Int!, $after: String, $condition: String!) {
  node(id: $id) { ... on Project {
    spans(first: $first, after: $after, filterCondition: $condition) {
      pageInfo { hasNextPage endCursor } edges { node { trace { traceId } } }
    }
  } }
}"""


class Listed(NamedTuple):
    """A trace as Phoenix lists it.

    Attributes:
        trace_id: 32 hexadecimal digits.
        started_ns: When its first span began.
        ended_ns: When its last span ended.
    """

    trace_id: str
    started_ns: int
    ended_ns: int


class Server:
    """A project of a Phoenix server. Threads may share it.

    Args:
        address: Where.

    Raises:
        StoreError: If the server, or the project, is not there, or wants a key.
    """

    def __init__(self, address: Address) -> None:
        self._url: Final = address.url
        self.project: Final = address.project
        headers = get_env_client_headers()
        if not all(it.isascii() and it.isprintable() for it in headers.values()):  # errors would quote them
            msg = "PHOENIX_API_KEY and PHOENIX_CLIENT_HEADERS may have printable ASCII characters only"
            raise StoreError(msg)
        try:
            self._http: Final = httpx.Client(base_url=address.url, headers=headers, timeout=_TIMEOUT)
        except httpx.InvalidURL as error:
            msg = f"{address.url!r} is no address of a server: {error}"
            raise StoreError(msg) from error
        self._client: Final = Client(base_url=address.url, http_client=self._http)
        try:
            self.id = self._find()
        except BaseException:
            self._http.close()
            raise

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """Ask in GraphQL; return the data of the answer."""
        with self._explained():
            answer = self._http.post("graphql", json={"query": query, "variables": variables})
        body = self._body(answer)
        data, errors = body.get("data"), body.get("errors")
        if errors or not isinstance(data, dict):
            some = cast("list[object]", errors) if isinstance(errors, list) else []
            reasons = "; ".join(map(_reason, some))
            msg = f"the Phoenix at {self._url} cannot answer: {reasons or 'it does not say why'}"
            raise StoreError(msg)
        return cast("dict[str, Any]", data)

    def post(self, path: str, data: object) -> None:
        """Write, and wait until it is written."""
        with self._explained():
            self._http.post(path, params={"sync": "true"}, json={"data": data}).raise_for_status()

    def revision(self) -> str:
        """Return a text that is another one when the project has changed.

        It is asked for by its name: Phoenix may give the id of a project that was deleted to another one.

        Raises:
            StoreError: If the project was deleted.
        """
        found = self.ask(_REVISION, name=self.project)["getProjectByName"]
        if found is None:
            msg = f"there is no project {self.project!r} any more in the Phoenix at {self._url}"
            raise StoreError(msg)
        self.id = found["id"]
        return f"{self.id} {found['streamingLastUpdatedAt']} {found['traceCount']} {found['recordCount']}"

    def traces(self) -> Iterator[Listed]:
        """Yield the traces of the project, the one that began last first."""
        for found in self._pages(f"v1/projects/{self.id}/traces", order="desc", sort="start_time"):
            yield Listed(found["trace_id"], time_of(found["start_time"]), time_of(found["end_time"]))

    def sessions(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each session id and the traces that Phoenix files under it, of whatever project.

        A session of Phoenix's is in the project in which its id came up first, with the traces of that id
        that other projects have. So the other projects' sessions are listed, too, after those of this one.
        """
        yield from self._sessions_in(self.id)
        with self._explained():
            projects = [it["id"] for it in self._client.projects.list()]
        for project in projects:
            if project != self.id:
                yield from self._sessions_in(project)

    def _sessions_in(self, project_id: str) -> Iterator[tuple[str, list[str]]]:
        for found in self._pages(f"v1/projects/{project_id}/sessions", order="desc"):
            yield found["session_id"], [it["trace_id"] for it in found["traces"]]

    def filed_under(self, session_id: str) -> set[str]:
        """Return the traces of the project that Phoenix files under a session."""
        sendable = session_id.encode("utf-8", "replace").decode()  # half a surrogate pair is in no address
        listed = self._pages(f"v1/projects/{self.id}/traces", session_identifier=sendable)
        return {it["trace_id"] for it in listed}

    def naming(self, session_ids: Sequence[str]) -> set[str]:
        """Return the traces of the project with a span that names one of these sessions."""
        found: set[str] = set()
        # Half a surrogate pair and NUL cannot be asked for.
        possible = [
            it for it in session_ids if it == it.encode("utf-8", "replace").decode().replace("\0", "")
        ]
        # The condition is an expression in Python's syntax.
        asked = {"id": self.id, "first": _PAGE, "condition": f"session.id in {possible!r}"}
        after = None
        while possible:
            page = self._ask_again(_NAMING, after=after, **asked)["node"]["spans"]
            found.update(it["node"]["trace"]["traceId"] for it in page["edges"])
            if not page["pageInfo"]["hasNextPage"]:
                break
            after = page["pageInfo"]["endCursor"]
        return found

    def spans(self, trace_ids: Sequence[str]) -> Iterator[Span]:
        """Yield the spans of traces of this project."""
        resource = resource_of(self.project)
        for start in range(0, len(trace_ids), _TRACES_AT_ONCE):
            with self._explained():
                found = self._client.spans.get_spans(
                    project_identifier=self.id,
                    trace_ids=trace_ids[start : start + _TRACES_AT_ONCE],
                    limit=_ALL,
                    timeout=int(_TIMEOUT.read or 0),
                )
            for it in found:
                yield span_of(cast("Mapping[str, Any]", it), resource)

    def last_row(self) -> int:
        """Return the number of the span that was stored last, or 0 when there is none."""
        found = self._get(f"v1/projects/{self.id}/spans", limit=1)["data"]
        return _row(found[0]["id"]) if found else 0

    def arrived(self, row: int) -> list[tuple[int, str]]:
        """Return the numbers and traces of the spans that were stored after a span, in this order.

        Raises:
            StoreError: If the server is too old to tell.
        """
        cursor = base64.b64encode(f"Span:{row + 1}".encode()).decode()
        page = self._get(f"v1/projects/{self.id}/spans", limit=_PAGE, sort="id", order="asc", cursor=cursor)
        rows = [(_row(it["id"]), str(it["context"]["trace_id"])) for it in page["data"]]
        if rows != sorted(rows) or any(number <= row for number, _ in rows):
            msg = f"the Phoenix at {self._url} is too old to tell what is new; update it"
            raise StoreError(msg)
        return rows

    def _find(self) -> str:
        """The project's id: its name may have characters that an address cannot."""
        found = self.ask(_PROJECT, name=self.project)
        if found["getProjectByName"] is None:
            known = ", ".join(sorted(repr(it["node"]["name"]) for it in found["projects"]["edges"]))
            msg = f"there is no project {self.project!r} in the Phoenix at {self._url}; there are: {known}"
            raise StoreError(msg)
        return found["getProjectByName"]["id"]

    def _ask_again(self, query: str, **variables: object) -> dict[str, Any]:
        """Ask, and once more if it fails: Phoenix cannot answer while a trace that it found is deleted."""
        try:
            return self.ask(query, **variables)
        except StoreUnavailableError:
            raise
        except StoreError:
            return self.ask(query, **variables)

    def _get(self, path: str, **parameters: str | int) -> dict[str, Any]:
        with self._explained():
            answer = self._http.get(path, params=parameters)
        return self._body(answer)

    def _pages(self, path: str, **parameters: str | int) -> Iterator[dict[str, Any]]:
        while True:
            page = self._get(path, limit=_PAGE, **parameters)
            yield from page["data"]
            if not page["next_cursor"]:
                return
            parameters["cursor"] = page["next_cursor"]

    def _body(self, answer: httpx.Response) -> dict[str, Any]:
        with self._explained():
            answer.raise_for_status()
            body: object = answer.json()
        if not isinstance(body, dict):
            raise self._stranger()
        return cast("dict[str, Any]", body)

    @contextmanager
    def _explained(self) -> Generator[None]:
        """Say what is wrong with the server.

        Raises:
            StoreUnavailableError: In the place of what this may be later.
            StoreError: In the place of what it will be later, too.
        """
        try:
            yield
        except httpx.HTTPStatusError as error:
            raise self._meaning(error.response) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            asked = "is it running, with HTTPS" if self._url.startswith("https:") else "is it running"
            msg = f"no Phoenix answers at {self._url} ({reason}); {asked}?"
            raise StoreUnavailableError(msg) from error
        except PhoenixException as error:  # the client knows which version has what
            msg = f"the Phoenix at {self._url} cannot answer: {error}"
            raise StoreError(msg) from error
        except (ValueError, RecursionError) as error:  # no JSON, or none that anybody meant
            raise self._stranger() from error

    def _meaning(self, answer: httpx.Response) -> StoreError:
        if answer.status_code in _REFUSED:
            has_key = "authorization" in self._http.headers
            said = "does not accept the key in" if has_key else "wants a key: set"
            return StoreError(f"the Phoenix at {self._url} {said} PHOENIX_API_KEY")
        if answer.has_redirect_location:
            msg = (
                f"{self._url} only leads to {answer.headers['location']}; give that address, as phoenix(s)://"
            )
            return StoreError(msg)
        if answer.is_server_error:
            msg = f"the Phoenix at {self._url} fails with {answer.status_code}; what it says is in its log"
            return StoreUnavailableError(msg)
        return self._stranger()

    def _stranger(self) -> StoreError:
        msg = f"what answers at {self._url} is no Phoenix, or one that is too old"
        if urlsplit(self._url).path:
            msg += "; a slash in the name of a project is %2F in an address"
        return StoreError(msg)


def _reason(error: object) -> str:
    """What an error of GraphQL's says."""
    return str(cast("dict[str, object]", error).get("message") if isinstance(error, dict) else error)


def _row(node_id: str) -> int:
    """The number in an id of Phoenix's, which is `Span:7` in base64."""
    return int(base64.b64decode(node_id).decode().rpartition(":")[2])
