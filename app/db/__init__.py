"""The database: engines, sessions, tables, ids, and database-specific SQL. Feature packages contain their queries."""
