"""The project's images and docker-compose.yml in real containers. Tests that need no container engine do not belong here."""
