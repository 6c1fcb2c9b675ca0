"""A deployment of GWS and the accounts on it: from the settings to what the wires take."""

from imbot.gws.auth import Auth, Basic, BasicEncoding, Bearer, Cookies, Headers
from imbot.gws.settings import AgentSettings, GwsSettings, Leftovers, OnStop
from imbot.settings import AgentPart, Settings


def gws_settings(settings: Settings) -> GwsSettings:
    """Return the deployment as the wires take it."""
    part = settings.gws
    return GwsSettings(
        url=part.url,
        cometd_path=part.cometd_path,
        on_alerting=part.on_alerting,
        alerting_s=part.alerting,
        on_stop=OnStop(part.on_stop),
        leftovers=Leftovers(part.leftovers),
        resync_s=part.resync,
        contact_center_id=part.contact_center_id,
    )


def agent_settings(part: AgentPart) -> AgentSettings:
    """Return an account as the wires take it."""
    return AgentSettings(
        user=part.user,
        auth=_auth(part),
        place=part.place,
        login_code=part.login_code,
        queue=part.queue,
        device=part.device,
        channels=part.channels,
        agent_state=part.agent_state,
    )


def _auth(part: AgentPart) -> Auth:
    if part.password is not None:
        encoding = BasicEncoding(part.encoding)
        return Basic(part.user, part.password.get_secret_value(), encoding)
    auth = part.auth
    if auth is not None and auth.bearer is not None:
        token = auth.bearer
        return Bearer(token.get_secret_value)
    if auth is not None and auth.cookies is not None:
        return Cookies({name: value.get_secret_value() for name, value in auth.cookies.items()})
    headers = {} if auth is None or auth.headers is None else auth.headers
    return Headers({name: value.get_secret_value() for name, value in headers.items()})
