"""What people do with dead letters: find them (`find`), read them (`show`), send them again (`retry`)."""
