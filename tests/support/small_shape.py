"""A shape small enough to count by hand."""

from tritforge.models.shapes import ModelShape

TINY = ModelShape(
    name="tiny",
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=2,
    vocab_size=10,
    tie_word_embeddings=True,
    source="a test",
    status="typed",
)
