"""Support for conditional, repeated and waiting requests about jobs. Nothing here changes a job."""
