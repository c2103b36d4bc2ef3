"""Customer.io in SQL: a PostgreSQL foreign data wrapper for the Customer.io App API."""

__version__ = "0.1.0"
