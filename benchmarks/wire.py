"""What GWS sends, as the benchmark's server spells it. Source: GWS contract 1.10, 2.4, 3.5, 3.6."""

from collections.abc import Mapping

from imbot.model import JSON

IM_CHANNEL = "/v2/me/im-sessions"
CONNECT = "/meta/connect"


def notification(content: Mapping[str, JSON], at_ms: int = 0) -> dict[str, JSON]:
    """Return the Bayeux message around a notification."""
    timing = {"nodeProcessingTimeNanos": 250_000, "serverProcessingTimeTotalMs": -1}
    if at_ms:
        timing["serverGenerationTimestamp"] = at_ms
    metrics = {"metrics": {"eventProcessing": timing}}
    return {"data": {**content, **metrics}, "channel": IM_CHANNEL}


def new_message(session_id: str, text: str) -> dict[str, JSON]:
    """Return what tells that somebody said something."""
    return notification(
        {
            "messageType": "IMLogUpdateMessage",
            "notificationType": "NewMessage",
            "imSessionPath": f"/im-sessions/{session_id}",
            "message": text,
        }
    )


def session_shown(session_id: str, state: str, user_data: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return what tells how a session stands."""
    session = {
        "state": state,
        "id": session_id,
        "uri": f"http://127.0.0.1/api/v2/im-sessions/{session_id}",
        "path": f"/im-sessions/{session_id}",
        "participants": [
            {
                "e164Number": "",
                "formattedPhoneNumber": "3002",
                "phoneNumber": "3002",
                "digits": "3002",
            }
        ],
        "capabilities": ["Complete", "SendMessage", "UpdateUserData", "DeleteUserData"],
        "userData": dict(user_data),
    }
    return notification(
        {
            "messageType": "IMSessionStateChangeMessage",
            "notificationType": "StatusChange",
            "imSession": session,
        }
    )


def device(user: str) -> dict[str, JSON]:
    """Return the agent's one device, logged in."""
    return {
        "id": f"device-{user}",
        "deviceState": "Active",
        "userState": {"state": "Ready", "displayName": "Ready"},
        "phoneNumber": f"8{user[-4:]}",
        "capabilities": [],
    }


def me(user: str) -> dict[str, JSON]:
    """Return the answer to ``GET /me``."""
    return {
        "statusCode": 0,
        "user": {
            "userName": user,
            "firstName": user,
            "lastName": "Measured",
            "features": [{"id": "api-voice-instant-messaging"}],
            "devices": [device(user)],
            "channels": [],
        },
    }


def connected(message_id: str) -> dict[str, JSON]:
    """Return the reply that ends a poll well."""
    return {"channel": CONNECT, "successful": True, "id": message_id}
