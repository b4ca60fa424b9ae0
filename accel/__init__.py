"""The accelerator: configuration, code tables and its description in Amaranth HDL."""
