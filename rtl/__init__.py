"""From Amaranth to artefacts: Verilog and what comes of it."""
