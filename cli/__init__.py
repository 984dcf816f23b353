"""The `stepline` command: starts each part as a process of its own and imports neither server nor worker."""
