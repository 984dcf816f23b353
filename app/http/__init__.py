"""HTTP machinery of the server: what every request meets before and after its route."""
