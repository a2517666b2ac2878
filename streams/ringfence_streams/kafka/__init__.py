"""The log over Apache Kafka, or any broker that speaks its protocol."""
