"""Settings: file < environment < command line, every mistake at once, each with its place.

The file is ``imbot.yaml`` or what ``--config`` names; paths in it are relative to it. A variable
``IMBOT_SECTION__KEY`` and an option ``section.key=value`` lie over it. Values may hold
``${env:NAME}``, ``${file:PATH}`` and ``${secret:NAME}``; they are filled in after the file is
parsed, so that no value can change its shape. What a setting means stands in
:mod:`imbot.settings`; here is where it comes from. The only room that reads the environment.
"""

from imbot.config.reading import DEFAULT_FILE, Loaded, load_settings
from imbot.config.references import folder_secrets, secret_folders
from imbot.config.showing import masked, secrets_of

__all__ = [
    "DEFAULT_FILE",
    "Loaded",
    "folder_secrets",
    "load_settings",
    "masked",
    "secret_folders",
    "secrets_of",
]
