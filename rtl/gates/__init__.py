"""From the register-transfer level to the gates of a standard-cell library, and what they cost."""
