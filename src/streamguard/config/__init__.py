"""Settings: see `streamguard.config.settings`."""

from streamguard.config.settings import PROJECT_ROOT, Settings, SettingsError, get_settings, load_settings, variable_of

__all__ = ["PROJECT_ROOT", "Settings", "SettingsError", "get_settings", "load_settings", "variable_of"]
