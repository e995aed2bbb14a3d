"""What analysts do with alerts: list, look, confirm, dismiss, verify against the topic."""
