"""What people do with dead letters: find them and read them (`find`), send them again (`retry`), as they came (`originals`)."""
