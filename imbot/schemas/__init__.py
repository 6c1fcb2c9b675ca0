"""JSON Schemas of rule files, test files and settings, for editors.

Made from the code's own tables and models, for yaml-language-server, which understands draft-07
best. They find what is misspelt, missing or of the wrong kind; what a rule means, ``imbot check``
finds. Nothing here reads or writes anything.
"""

from imbot.schemas.rulefile import schema_of_rules
from imbot.schemas.settingsfile import schema_of_settings
from imbot.schemas.testfile import schema_of_tests

__all__ = ["schema_of_rules", "schema_of_settings", "schema_of_tests"]
