"""Operation counts, technology tables and energy reports."""
