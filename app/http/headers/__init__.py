"""Headers of requests and responses: what they mean and how they are read; not what a route does with them."""
