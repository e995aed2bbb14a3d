"""The Python rules, a file each: `(alert, context) -> Verdict`, registered by `@rule` (see `streamguard.rules.base`)."""
