"""Settings: see `streamguard.config.settings`."""

from streamguard.config.cluster import Cluster, Security
from streamguard.config.errors import SettingsError, UserError
from streamguard.config.settings import Settings, get_settings, load_settings, variable_of

__all__ = [
    "Cluster",
    "Security",
    "Settings",
    "SettingsError",
    "UserError",
    "get_settings",
    "load_settings",
    "variable_of",
]
