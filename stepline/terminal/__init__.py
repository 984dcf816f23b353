"""The commands of `stepline` that talk to a service: options, screens and exit statuses. It makes no HTTP requests itself."""
