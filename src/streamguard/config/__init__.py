"""Settings: see `streamguard.config.settings`."""

from streamguard.config.settings import Settings, get_settings

__all__ = ["Settings", "get_settings"]
