"""Code tables of the trits; no dependency, so that packers, models and hardware share them."""

#: Two bits a trit, ``{neg, nonzero}``: what a lane needs without a decoder. ``0b10`` is illegal.
I2_CODES = {0: 0b00, 1: 0b01, -1: 0b11}
I2_ILLEGAL = 0b10
#: Bits of one trit by packing.
BITS_PER_TRIT = {"i2": 2.0}
#: Width of a row bias in the weight stream.
BIAS_WORD_BITS = 16
#: Width of a result word.
RESULT_WORD_BITS = 32
