"""The running form of a plan: operators that pass batches of records on. They use no socket and no clock."""
