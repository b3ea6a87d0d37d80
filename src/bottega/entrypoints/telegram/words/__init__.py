"""Every text of the bot, in every language it speaks: `words_for(language)` gives them, pure, as `Say` or `str`."""

from bottega.entrypoints.telegram.words.words import Words, words_for

__all__ = ["Words", "words_for"]
