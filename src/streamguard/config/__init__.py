"""Settings: see `streamguard.config.settings`."""

from streamguard.config.settings import Settings, SettingsError, get_settings, load_settings, variable_of

__all__ = ["Settings", "SettingsError", "get_settings", "load_settings", "variable_of"]
