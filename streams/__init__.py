"""Everything that touches Kafka, HTTP or disks."""
