"""What the application shares of Kafka: its topics, its clients, and reading a topic to its end."""
