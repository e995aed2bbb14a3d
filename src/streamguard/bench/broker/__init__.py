"""`streamguard bench broker`: our broker measured, beside Apache Kafka in the same run where java and mvn are there."""
