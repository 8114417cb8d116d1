"""One HTTP exchange as the `http.*` steps see it: the types of their fields, the answer, the errors."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from orchestrator.plugin import UNSET, Duration, HttpClient, HttpRequest, HttpResponse, StepError

Json = Any  # plain JSON
Scalar = str | int | float | bool | None
Url = Annotated[str, Field(description="Where to send the request: http or https.", min_length=1)]
Query = Annotated[
    dict[str, Scalar | list[Scalar]] | None, Field(description="Query parameters; null ones are left out.")
]
Headers = Annotated[dict[str, str] | None, Field(description="Request headers.")]
JsonBody = Annotated[Json, Field(description="A value to send as a JSON body.")]
Form = Annotated[dict[str, Scalar | list[Scalar]] | None, Field(description="Fields to send as a form.")]
Body = Annotated[str | None, Field(description="Text to send as it is.")]
Accept = Annotated[
    list[int | Literal["4xx", "5xx"]] | int,
    Field(description="Statuses of 400 and above that do not fail the step: 404, or 4xx for all of a kind."),
]
Timeout = Annotated[Duration, Field(description="Bound of the whole exchange, such as 30s.")]


class BasicAuth(TypedDict):
    """A user name and a password."""

    user: str
    password: str


class Auth(TypedDict):
    """How to prove who is calling: one of the two."""

    basic: NotRequired[BasicAuth]
    bearer: NotRequired[str]


AuthField = Annotated[Auth | None, Field(description="`{bearer: token}` or `{basic: {user, password}}`.")]


class Answer(TypedDict):
    """What came back. `json` is null unless the body is JSON."""

    status: int
    headers: dict[str, str]
    json: Json
    text: str
    url: str


ERRORS = (
    "http.4xx",
    "http.5xx",
    "http.connect",
    "http.blocked",
    "http.protocol",
    "http.redirect",
    "http.bad_json",
    "timeout",
    "limit.http_body",
)


async def exchange(
    http: HttpClient,
    method: str,
    url: str,
    *,
    query: Query = None,
    headers: Headers = None,
    json: JsonBody = UNSET,
    form: Form = None,
    body: Body = None,
    auth: AuthField = None,
    accept: Accept = (),  # type: ignore[assignment]  # nothing
    timeout: float = 30.0,
) -> Answer:
    """Send one request and read the answer. Raises: StepError with one of ERRORS."""
    given = [n for n, v in (("json", json is not UNSET), ("form", form is not None), ("body", body is not None)) if v]
    if len(given) > 1:
        raise StepError("type.payload", f"give only one of {', '.join(given)}")
    basic = (auth or {}).get("basic")
    request = HttpRequest(
        method,
        url,
        query=query or {},
        headers=headers or {},
        json=json,
        form=form,
        content=body,
        basic=(basic["user"], basic["password"]) if basic else None,
        bearer=(auth or {}).get("bearer"),
        timeout_s=timeout,
    )
    response = await http.send(request)
    http.check(response, [accept] if isinstance(accept, int) else accept)
    return answer_of(response, method)


def answer_of(response: HttpResponse, method: str = "GET") -> Answer:
    """The response as a step's result. Raises: StepError `http.bad_json` for a good status with broken JSON."""
    parsed: Json = None
    if response.is_json and response.body and method != "HEAD":
        try:
            parsed = response.json()
        except StepError:
            if response.status < 400:
                raise
    return Answer(
        status=response.status, headers=dict(response.headers), json=parsed, text=response.text, url=response.url
    )
