"""``imbot doctor``: looks at all that an imbot stands on, and names the cure of what is wrong.

Each check is one small thing with one name (:mod:`imbot.doctor.findings`). Nothing here prints,
and nothing changes what it looks at: no contact center session is begun or ended, and of GWS only
the CometD session is ended that the doctor itself began. What it does to GWS: docs/guide/doctor.md.
"""
