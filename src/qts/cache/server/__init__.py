"""The way to a Redis or Valkey server or a cluster: connections, deadlines, where a key is, what errors mean."""
