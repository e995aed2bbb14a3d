"""Real-time fraud detection on payment streams."""
