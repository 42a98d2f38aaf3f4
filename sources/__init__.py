"""Where prices come from: one file a source, all behind the protocol of ``sources.base``."""
