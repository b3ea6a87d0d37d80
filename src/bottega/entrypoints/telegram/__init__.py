"""The Telegram bot: an update becomes one call of the engine, an event becomes words. It decides nothing."""
