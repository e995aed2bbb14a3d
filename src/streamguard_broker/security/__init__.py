"""Who may come in: users with salted, hashed credentials; SCRAM and PLAIN; when TLS is a must."""
