"""``crm.lookup`` and ``crm.upsert``: the customer into user data, the interaction into the CRM.

The CRM speaks a small REST contract, documented in docs/reference/crm.md:

* ``GET  {url}/contacts?number=3002`` answers 200 with ``{"id": …, "firstName": …, "lastName": …,
  "tier": …}``, or 404 when nobody has this number.
* ``PUT  {url}/contacts/{id}/interactions/{session id}`` with a JSON body answers 2xx. Sent twice,
  it is one interaction.
"""

from typing import Any
from urllib.parse import quote, urlencode

from pydantic import Field, SecretStr

from imbot.plugin import Context, HttpAnswer, Model, PermanentError, Plugin, action, as_user_data

_NOT_FOUND = 404


class Options(Model):
    """Settings under ``plugins.options.crm``."""

    url: str = Field(pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")
    """Base URL of the CRM; its host must be listed in ``http.allow`` or ``http.internal``."""

    token: SecretStr | None = None
    """Sent as a bearer token."""


class Lookup(Model):
    """Arguments of ``crm.lookup``."""

    number: str | None = None
    """The number to look up; by default the other party's digits."""

    fields: list[str] = Field(default_factory=lambda: ["firstName", "lastName", "tier"])
    """The contact's fields that are written to user data, beside ``customerId``."""


class Found(Model, extra="allow"):
    """Result of ``crm.lookup``; where found, also the contact's fields."""

    found: bool
    """Whether the CRM knows the number."""

    id: str | None = None
    """The customer's id."""


class Upsert(Model):
    """Arguments of ``crm.upsert``."""

    id: str | None = None
    """The customer's id; by default ``session.userData.customerId``."""

    json_: dict[str, Any] = Field(default_factory=dict, alias="json")
    """What is written of the interaction."""


@action("crm.lookup", args=Lookup, result=Found, repeatable=True)
async def lookup(ctx: Context, args: Lookup) -> Found:
    """Read the customer by number; write the id and the asked fields to user data where found.

    A session that is Completed takes no user data any more; the result tells all the same.
    """
    number = args.number or (ctx.participant or {}).get("digits")
    if not number:
        raise PermanentError("crm.lookup: the other party has no number; say it with 'number'")
    options = _options(ctx)
    url = f"{options.url.rstrip('/')}/contacts?{urlencode({'number': number})}"
    answer = await ctx.http.request("GET", url, headers=_headers(options))
    answer.require(("2xx", _NOT_FOUND))
    if answer.status == _NOT_FOUND:
        return Found(found=False)
    contact = _contact(answer)
    customer = str(contact["id"])
    asked = {name: contact[name] for name in args.fields if contact.get(name) is not None}
    fields = as_user_data(asked)
    if ctx.session is not None and ctx.session["state"] != "Completed":
        await ctx.im.update_user_data({"customerId": customer, **fields})
    return Found(**{**fields, "found": True, "id": customer})


def _contact(answer: HttpAnswer) -> dict[str, Any]:
    """Return the contact of an answer.

    Raises:
        PermanentError: It is none.
    """
    contact = answer.json
    if isinstance(contact, dict) and isinstance(contact.get("id"), str | int) and contact["id"]:
        return contact
    raise PermanentError("crm.lookup: the CRM's answer is no contact with an 'id'")


@action("crm.upsert", args=Upsert, repeatable=True)
async def upsert(ctx: Context, args: Upsert) -> None:
    """Write the interaction of this session to its customer."""
    session = ctx.session
    if session is None:
        raise PermanentError("crm.upsert: there is no session to write about")
    customer = args.id or session["userData"].get("customerId")
    if not customer:
        raise PermanentError("crm.upsert: no customerId; look the customer up first")
    options = _options(ctx)
    path = f"contacts/{quote(str(customer), safe='')}/interactions/{quote(session['id'], safe='')}"
    url = f"{options.url.rstrip('/')}/{path}"
    answer = await ctx.http.request("PUT", url, headers=_headers(options), json=args.json_)
    answer.require()


def _options(ctx: Context) -> Options:
    if not isinstance(ctx.options, Options):
        raise PermanentError("crm: set plugins.options.crm.url in the settings")
    return ctx.options


def _headers(options: Options) -> dict[str, str]:
    if options.token is None:
        return {}
    return {"Authorization": f"Bearer {options.token.get_secret_value()}"}


plugin = Plugin("crm", actions=(lookup, upsert), options=Options)
