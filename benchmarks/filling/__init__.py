"""The jobs, records and points that benchmarks fill a service with. Nothing here measures."""
