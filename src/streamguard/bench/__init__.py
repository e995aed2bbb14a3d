"""What `streamguard bench` measures: the broker and the engine, each beside what it is compared with."""
