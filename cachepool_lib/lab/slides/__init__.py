"""The notebooks as slides: a reveal.js deck for each, which opens from disk, without a network.

A notebook's cells become cells that fit (`pieces`), these are laid on slides of 1280 × 720 pixels
(`layout`), each with the notes of its section (`notes`), and nbconvert writes the deck (`reveal`).
"""

from cachepool_lib.lab.slides.reveal import SHARP, copy_reveal, deck

__all__ = ["SHARP", "copy_reveal", "deck"]
