"""Testing SQL without a broker: case files in, differences out."""
