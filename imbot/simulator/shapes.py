"""The JSON that GWS would send: resources and notifications, as pure functions of the state.

Sources: the GWS contract, 1.10, 2.4, 2.5, 3.5 and 3.6, with its confidence letters.
"""

from collections.abc import Iterable, Mapping

from imbot.simulator.agents import Agent, UserState

JsonObject = dict[str, object]

IM_FEATURE = "api-voice-instant-messaging"
IM_CHANNEL = "/v2/me/im-sessions"
DEVICES_CHANNEL = "/v2/me/devices"

#: Capabilities documented for a session in Talking; also listed in Completed [D IM-Complete].
_ALL = ("Complete", "AttachUserData", "DeleteUserData", "UpdateUserData", "SendMessage")

#: Default ids of the agent states [O]; one really holds a lower-case letter.
_STATE_IDS = {
    UserState.LOGGED_OUT: "0F7F5003-EF26-4D13-A6Ef-D0C7EC819BEB",
    UserState.READY: "9430250E-0A1B-421F-B372-F29E69366DED",
    UserState.NOT_READY: "900D55CC-2BB0-431F-8BF9-D3525B383BE6",
}
_STATE_NAMES = {
    UserState.LOGGED_OUT: "Logged Out",
    UserState.READY: "Ready",
    UserState.NOT_READY: "Not Ready",
}


def ok(**fields: object) -> JsonObject:
    """Return a success body."""
    return {"statusCode": 0, **fields}


def error(status_code: int, message: str) -> JsonObject:
    """Return an error body: code and text and nothing else [D RV, O]."""
    return {"statusCode": status_code, "statusMessage": message}


def capabilities(state: str, accept: str = "") -> list[str]:
    """Return what a session in this state allows, with the accept operation while it rings."""
    if state in {"Talking", "Completed"}:
        return list(_ALL)
    return [accept, "Complete"] if accept else ["Complete"]


def participant(number: str) -> JsonObject:
    """Return the other party; ``e164Number`` is empty for an extension [O]."""
    digits = "".join(char for char in number if char.isdigit())
    e164 = number if number.startswith("+") else ""
    return {
        "e164Number": e164,
        "formattedPhoneNumber": number,
        "phoneNumber": number,
        "digits": digits,
    }


def user_state(state: UserState) -> JsonObject:
    """Return a ``userState``; just after login it has no id and no name [O]."""
    if state is UserState.LOGGED_IN:
        return {"state": state.value}
    return {"id": _STATE_IDS[state], "displayName": _STATE_NAMES[state], "state": state.value}


def devices(agent: Agent, uri_base: str, *, several: bool) -> list[JsonObject]:
    """Return the agent's devices; they carry no path and no uri [O]."""
    ids = [agent.device_id, agent.spare_device_id] if several else [agent.device_id]
    return [_device(agent, device_id, uri_base) for device_id in ids]


def _device(agent: Agent, device_id: str, uri_base: str) -> JsonObject:
    return {
        "id": device_id,
        "deviceState": "Active" if agent.logged_in else "Inactive",
        "userState": user_state(agent.user_state),
        "phoneNumber": agent.number,
        "description": "",
        "e164Number": "",
        "telephonyNetwork": "Private",
        "doNotDisturb": "Off",
        "voiceEnvironmentUri": f"{uri_base}/api/v2/voice-environments/{agent.spare_device_id}",
        "capabilities": ["DoNotDisturbOn", "ForwardCallsOn"],
        "channels": ["voice"],
        "dynamicPhoneNumber": "",
    }


def user(agent: Agent, uri_base: str, subresources: Mapping[str, object]) -> JsonObject:
    """Return the ``user`` of ``GET /me`` with the subresources asked for."""
    return {
        "id": agent.user_id,
        "userName": agent.user,
        "firstName": agent.user,
        "lastName": "Simulated",
        "emailAddress": "",
        "roles": ["ROLE_AGENT"],
        "enabled": True,
        **subresources,
        "changePasswordOnFirstLogin": False,
        "contactCenterId": "5f0c1d1e-0000-4000-8000-000000000001",
        "uri": f"{uri_base}/api/v2/users/{agent.user_id}",
        "path": f"/users/{agent.user_id}",
    }


def features(agent: Agent, uri_base: str) -> list[JsonObject]:
    """Return the agent's features: voice always, IM if the account has it."""
    names = ["api-voice", IM_FEATURE] if agent.account.im_feature else ["api-voice"]
    return [
        {
            "id": name,
            "displayName": name.replace("-", " ").title(),
            "description": "",
            "autoAssignOnContactCenterCreate": True,
            "uri": f"{uri_base}/api/v2/features/{name}",
            "path": f"/features/{name}",
        }
        for name in names
    ]


def services(uri_base: str) -> list[JsonObject]:
    """Return the services behind GWS, all active [I]."""
    return [
        {
            "id": name,
            "name": name,
            "type": name,
            "state": "Active",
            "uri": f"{uri_base}/api/v2/services/{name}",
            "path": f"/services/{name}",
        }
        for name in ("voice", "configuration")
    ]


def tserver_annex() -> list[JsonObject]:
    """Return the DN's ``[TServer]`` settings that let it do IM [D SEED-0]."""
    return [
        {"name": "multimedia", "value": "true"},
        {"name": "sip-signalling-chat", "value": "none"},
        {"name": "sip-cti-control", "value": "talk,hold"},
    ]


def metrics(epoch_ms: int) -> JsonObject:
    """Return the ``metrics`` that real notifications carry [O]."""
    return {
        "eventProcessing": {
            "nodeProcessingTimeNanos": 250_000,
            "serverGenerationTimestamp": epoch_ms,
            "serverProcessingTimeTotalMs": -1,
        }
    }


def state_change(notification_type: str, session: Mapping[str, object]) -> JsonObject:
    """Return an IMSessionStateChangeMessage [D IM-Msg]."""
    return {
        "messageType": "IMSessionStateChangeMessage",
        "notificationType": notification_type,
        "imSession": session,
    }


def new_message(path: str, message: object) -> JsonObject:
    """Return an IMLogUpdateMessage: no sender, no time, no id [D IM-Send]."""
    return {
        "messageType": "IMLogUpdateMessage",
        "notificationType": "NewMessage",
        "imSessionPath": path,
        "message": message,
    }


def device_change(device_list: Iterable[JsonObject]) -> JsonObject:
    """Return a DeviceStateChangeMessage; it has no ``notificationType`` [O]."""
    return {"messageType": "DeviceStateChangeMessage", "devices": list(device_list)}


def textless_error(agent: Agent, uri_base: str) -> JsonObject:
    """Return the ErrorMessage that accompanies a refused operation, without any text [O]."""
    return {
        "messageType": "ErrorMessage",
        "devicePath": f"/devices/{agent.device_id}",
        "deviceUri": f"{uri_base}/api/v2/devices/{agent.device_id}",
    }
