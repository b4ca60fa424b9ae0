"""The `tritforge` command."""
