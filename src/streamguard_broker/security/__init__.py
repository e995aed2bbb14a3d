"""Authentication: users with salted, hashed credentials; SCRAM and PLAIN; where TLS is required."""
